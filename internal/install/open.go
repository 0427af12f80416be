package install

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/base"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// OpenOptions say which source is taken, and what of it.
type OpenOptions struct {
	// Keys are those of which one must have signed the bundle, or the digest of the
	// image; nil asks for no signature.
	Keys signature.Keys
	// Images are the only images that are wanted, all of which must be there; nil is
	// all of the bundle.
	Images *imagelist.List
	// Without are references of images that are left out, all of which must be there too.
	Without []string
	// Bases are stores and bundles that have the layers which the bundle leaves to its
	// base. If there are none, the Stores and the bundles beside this one are searched.
	Bases []string
	// Stores are those of this node.
	Stores []string
	// Progress receives warnings about bases, and may be nil.
	Progress progress.Func
}

// Source is what a store is made of: a bundle, whole or in parts, or an image
// file. It is for one Run or Repair.
type Source struct {
	path string
	opts OpenOptions

	file *archive.File // of a bundle
	src  store.Source  // the images that are wanted
	// chosen is slot.Times.Chosen of src
	chosen []byte

	digest digest.Digest // of an image file
}

// Open opens the bundle or the image at path and proves what can be proven before
// anything is written: rights, signature, and that it has what is wanted. Errors wrap
// ErrNotRoot, ErrLacks, signature.ErrMismatch, or are those of archive.OpenFile. The
// caller closes it.
func Open(ctx context.Context, path string, opts OpenOptions) (*Source, error) {
	if err := NeedRoot(); err != nil {
		return nil, err
	}
	s := &Source{path: path, opts: opts}
	if IsImage(path) {
		return s, s.openImage()
	}
	var err error
	if s.file, err = archive.OpenFile(ctx, path, archive.WithTrust(trust.Signed(path, opts.Keys))); err != nil {
		return nil, err
	}
	if err := s.openBundle(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// About returns the release of the bundle, "" if it has none, and the digest of its
// inventory; of an image file that of the file.
func (s *Source) About() (release string, id digest.Digest) {
	if s.file == nil {
		return "", s.digest
	}
	if r := s.file.Inventory().Release; r != nil {
		release = r.Version
	}
	return release, digest.FromBytes(s.file.RawInventory())
}

// IsImage reports whether the source at path is an image file.
func IsImage(path string) bool { return image.IsImage(path) }

// Close closes the source.
func (s *Source) Close() {
	if s.file != nil {
		_ = s.file.Close() // it was only read
	}
}

// complete gives the bundle what it leaves to its base, for a new store. stores are
// searched if no base was named. work is the directory of a work file.
func (s *Source) complete(ctx context.Context, stores []string, asImage bool, work string) (*base.Completed, error) {
	find := base.Finder{Named: s.opts.Bases, Stores: stores, Warn: s.opts.Progress.Warn}
	return find.Complete(ctx, s.path, s.file, s.src, base.Options{Architecture: runtime.GOARCH, Links: !asImage, Work: work})
}

func (s *Source) openBundle() (err error) {
	if s.src, err = base.Whole(s.file); err != nil || s.opts.Images == nil && len(s.opts.Without) == 0 {
		return err
	}
	want, lacks := s.opts.wanted(s.src.Inventory())
	if len(lacks) > 0 {
		noun, where := "references", "the list"
		if s.opts.Images == nil {
			where = "--without"
		}
		if len(lacks) == 1 {
			noun = "reference"
		}
		return fmt.Errorf("importing %s: %d %s of %s %w:\n  %s", s.path, len(lacks), noun, where, ErrLacks, strings.Join(lacks, "\n  "))
	}
	if s.src, s.chosen, err = choose(s.src, want); err != nil {
		return fmt.Errorf("importing %s: %w", s.path, err)
	}
	if len(s.src.Inventory().Images) == 0 {
		return fmt.Errorf("importing %s: %w", s.path, errNothing)
	}
	return nil
}

// wanted chooses the images of inv that are wanted, and returns the references that it lacks.
func (o OpenOptions) wanted(inv *bundle.Inventory) (want func(*bundle.Image) bool, lacks []string) {
	want = func(*bundle.Image) bool { return true }
	if o.Images != nil {
		lacks = Missing(inv, o.Images)
		want = Wanted(o.Images)
	}
	without := make(map[string]bool, len(o.Without))
	for _, ref := range o.Without {
		without[ref] = true
		if !inv.Holds(ref) {
			lacks = append(lacks, ref)
		}
	}
	listed := want
	return func(img *bundle.Image) bool {
		return listed(img) && !without[img.Ref] && !slices.ContainsFunc(img.Names, func(n string) bool { return without[n] })
	}, lacks
}

// Wanted chooses the images of a list.
func Wanted(list *imagelist.List) func(*bundle.Image) bool {
	names := make(map[string]bool)
	for _, e := range list.Entries() {
		for _, ref := range append([]string{e.Ref}, e.Names...) {
			names[ref] = true
		}
	}
	return func(img *bundle.Image) bool {
		for _, name := range img.Names {
			if names[name] {
				return true
			}
		}
		return names[img.Ref]
	}
}

// Missing returns the references of the list that the inventory does not hold.
func Missing(inv *bundle.Inventory, list *imagelist.List) []string {
	out := []string{}
	for _, e := range list.Entries() {
		for _, ref := range append([]string{e.Ref}, e.Names...) {
			if !inv.Holds(ref) {
				out = append(out, ref)
			}
		}
	}
	return out
}

// openImage reads the digest that an image must have.
func (s *Source) openImage() (err error) {
	s.digest, err = signedDigest("importing", s.path, s.opts.Keys)
	return err
}
