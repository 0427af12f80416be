// Package holding opens what holds images, or only names them, whichever of its forms it has:
// a bundle, an inventory.json, a store or a slot, a list, the payload of a release.
package holding

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/imagelist/release"
	"github.com/nodeseal/nodeseal/internal/imagelist/sources"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/trust"
	"github.com/nodeseal/nodeseal/internal/whatis"
)

// Kind is the form of a Holding, in words.
type Kind string

// The kinds.
const (
	Bundle    Kind = "bundle"
	Inventory Kind = "inventory"
	Store     Kind = "store"
	List      Kind = "list"
	Release   Kind = "release"
)

// Holding is what holds images.
type Holding struct {
	Path string
	Kind Kind
	// Release is the release that it says it is of, nil if it says none.
	Release *bundle.Release
	// Inventory is the whole one (bundle.Inventory.Whole) of what knows its layers, with the
	// images that are there; nil for a List and a Release.
	Inventory *bundle.Inventory
	// Images are the references of a List or a Release, sorted.
	Images []imagelist.Entry
	// Size is the length of a bundle that needs no base, in bytes; 0 of all else.
	Size int64
	// Signed says that it is of a kind for which trust was asked: a bundle, the inventory.json of one, or an image file.
	Signed bool
}

// Open reads what is at path. open opens a file by its name, "-" too, for what is read as a
// list; by says whose signature a bundle, its inventory.json, or an image file must have. Nothing stays
// open. Of a bundle only the head is read. Errors are those of trust.Bundle.Open, install.ReadContents, bundle.ParseInventory and sources.ReadLists, or a
// *whatis.Error.
func Open(ctx context.Context, path string, by trust.Bundle, open func(name string) (io.ReadCloser, error)) (*Holding, error) {
	h := &Holding{Path: path}
	var err error
	switch {
	case form.IsDir(path), install.IsImage(path):
		err = h.openStore(ctx, by)
	case path != "-" && isBundle(path):
		err = h.openBundle(ctx, by)
	default:
		err = h.openText(ctx, by, open)
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// part is the name of a part of a bundle.
var part = regexp.MustCompile(`\.[0-9]{3}$`)

// isBundle reports what is opened as a bundle: what is not there under this name (it may be in
// parts), parts, and files that are no text. What they are instead, its error says.
func isBundle(path string) bool {
	info, err := os.Stat(path)
	if err != nil || part.MatchString(path) {
		return true
	}
	switch kind := whatis.Of(path); {
	case !info.Mode().IsRegular(): // a pipe
		return false
	case kind == whatis.List, kind == whatis.JSON, kind == whatis.YAML:
		return false
	case kind == "":
		return !isText(path)
	}
	return true
}

// isText reports whether a file begins as text does.
func isText(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, headLen)
	n, err := io.ReadFull(f, head)
	return (err == nil || errors.Is(err, io.ErrUnexpectedEOF)) && !bytes.ContainsRune(head[:n], 0)
}

func (h *Holding) openBundle(ctx context.Context, by trust.Bundle) error {
	f, err := by.Open(ctx, h.Path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	h.Signed = true
	if h.Kind = Bundle; f.Inventory().Base == nil {
		h.Size = f.Size()
	}
	h.take(f.Inventory())
	return nil
}

func (h *Holding) openStore(ctx context.Context, by trust.Bundle) error {
	if form.IsDir(h.Path) {
		if err := whatis.NoStore(h.Path); err != nil {
			return err
		}
	}
	c, err := install.ReadContents(ctx, h.Path, by)
	if err != nil {
		return err
	}
	h.Kind = Store
	_, h.Signed = form.FileAt(h.Path)
	if c.Stored == nil {
		h.take(&bundle.Inventory{Layers: bundle.Expanded})
		return nil
	}
	h.take(c.Stored.Inventory())
	h.Inventory.Images = c.Stored.Kept()
	return nil
}

// take takes an inventory, which is the Holding's own.
func (h *Holding) take(inv *bundle.Inventory) {
	whole := *inv.Whole()
	h.Inventory, h.Release = &whole, inv.Release
}

// headLen is how much of a file says what form it has, in bytes.
const headLen = 4096

// openText reads an inventory, an image-references file, or a list.
func (h *Holding) openText(ctx context.Context, by trust.Bundle, open func(string) (io.ReadCloser, error)) (err error) {
	r, err := open(h.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	br := bufio.NewReaderSize(r, headLen)
	head, err := br.Peek(headLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading %s: %w", h.Path, err)
	}
	switch {
	case inventoryHead.Match(head):
		h.Kind, h.Signed = Inventory, !form.IsInventoryOfStore(h.Path)
		if !h.Signed {
			by = trust.Bundle{Insecure: true} // as the store is
		}
		inv, err := parse(ctx, br, h.Path, by)
		if err != nil {
			return err
		}
		h.take(inv)
		return nil
	case isPayload(head):
		refs, err := release.ParseReferences(br)
		if err != nil {
			return fmt.Errorf("%s: %w", h.Path, err)
		}
		p := release.Payload{Version: refs.Version, Components: refs.Components}
		var list imagelist.List
		p.AddTo(&list, nil)
		rel := p.Release()
		h.Kind, h.Release, h.Images = Release, &rel, list.Entries()
		return nil
	}
	return h.readList(br)
}

// parse reads the inventory.json at path, once its signature was looked at.
func parse(ctx context.Context, r io.Reader, path string, by trust.Bundle) (*bundle.Inventory, error) {
	raw, err := io.ReadAll(io.LimitReader(r, bundle.MaxInventory+1)) // which refuses one more
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if err := by.Check(ctx, path, raw); err != nil {
		return nil, err
	}
	inv, err := bundle.ParseInventory(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return inv, nil
}

// readList reads references or objects, in any form that lists have.
func (h *Holding) readList(r io.Reader) error {
	var collector objects.Collector
	doc, list, err := sources.ReadFile(sources.File{Name: h.Path, Open: func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}, collector.Add)
	if err != nil {
		return err
	}
	found := collector.Result()
	if list == nil {
		list = new(imagelist.List)
	}
	list.Merge(found.List)
	if doc != nil && doc.Format == "" { // a file of another tool, with images that it only hints at
		for _, p := range doc.Problems {
			err = errors.Join(err, errors.New(p))
		}
	}
	for _, p := range found.Problems {
		err = errors.Join(err, p)
	}
	if err != nil {
		return err
	}
	if list.Len() == 0 {
		return fmt.Errorf("%s: the list of images is empty", h.Path)
	}
	h.Kind, h.Images = List, list.Entries()
	if doc != nil {
		h.Release = doc.Release
	}
	return nil
}

var (
	inventoryHead = regexp.MustCompile(`^\s*\{\s*"format":\s*"nodeseal bundle v`)
	streamKind    = regexp.MustCompile(`"kind":\s*"ImageStream"`)
	listKind      = regexp.MustCompile(`"kind":\s*"(ImageStream)?List"`)
	releaseName   = regexp.MustCompile(`"name":\s*"\d+\.\d+\.\d+`)
)

// isPayload reports whether head begins the image-references of a release: an ImageStream
// with the release's version as its name.
func isPayload(head []byte) bool {
	return streamKind.Match(head) && !listKind.Match(head) && releaseName.Match(head)
}
