package dir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/nodeseal/nodeseal/internal/store/verify"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// donor is a store to take layers from.
type donor struct {
	path   string
	layers map[digest.Digest]string // IDs, by content
	// tree is a detached mount of a directory above both stores, or nil. Links
	// out of a read-only mount are refused; this one has none of the mounts
	// below, and both ends of a link must be on the same mount.
	tree *os.File
	base string // the directory that tree is of
}

// takeAll takes the contents that other stores have.
func (im *importer) takeAll(ctx context.Context) error {
	if im.userNS {
		return nil // it cannot read and set all attributes
	}
	for _, path := range im.opts.Reuse {
		if err := im.takeFrom(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) takeFrom(ctx context.Context, path string) error {
	d, err := openDonor(path, im.partial.store)
	if err != nil {
		im.opts.Progress.Warn(fmt.Sprintf("nothing is taken from %s: %v", path, err))
		return nil
	}
	defer d.close()
	if err := im.takeOriginals(ctx, d); err != nil {
		return err
	}
	var todo []*build.Job
	var total int64
	for _, j := range im.jobs {
		if j.Done == nil && d.find(j) != "" {
			todo = append(todo, j)
			total += j.First().DiffSize
		}
	}
	if len(todo) == 0 {
		return nil
	}
	slices.SortStableFunc(todo, func(a, b *build.Job) int { return cmp.Compare(b.First().DiffSize, a.First().DiffSize) })
	im.opts.Progress.Begin(phaseTake, total, progress.Bytes)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(im.opts.Jobs)
	for _, j := range todo {
		g.Go(func() error {
			return im.label.creating(func() error { return im.takeOne(ctx, d, j) })
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	im.opts.Progress.End(phaseTake)
	return nil
}

// takeOne takes, verifies and records one content. If the other store's is damaged,
// it is left to extraction.
func (im *importer) takeOne(ctx context.Context, d *donor, j *build.Job) error {
	l := j.First()
	fail := func(err error) error {
		return &store.Error{Op: "taking over layer", Image: l.Image, Digest: l.DiffID, Err: err}
	}
	im.opts.Progress.WorkingOn(phaseTake, l.DiffID.String(), l.Title)
	made, err := im.makeDiff(l)
	if err != nil {
		return fail(err)
	}
	made.Close()
	if err := im.copyLayer(d, l); err != nil {
		if ctx.Err() != nil || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			return fail(err)
		}
		return im.leave(d, l, err)
	}
	diff, err := os.Open(filepath.Join(im.partial.store, store.DiffDir(l.ID)))
	if err != nil {
		return fail(err)
	}
	defer diff.Close()
	split, err := safefile.Open(filepath.Join(im.partial.store, store.TarSplitFile(l.ID)))
	if err != nil {
		return fail(err)
	}
	defer split.Close()
	result, found, err := verify.Layer(ctx, diff, split, l.DiffID, verify.LayerOptions{
		Read: func(n int64) { im.opts.Progress.Add(phaseTake, n) }, Size: l.DiffSize,
	})
	if err != nil {
		return fail(err)
	}
	if len(found) > 0 {
		return im.leave(d, l, fmt.Errorf("%s: %w", found[0].Path, found[0].Err))
	}
	if result.Lost != "" {
		return im.untake(l)
	}
	if err := blob.Prove(l, result); err != nil {
		return im.leave(d, l, err)
	}
	if err := im.step("record"); err != nil {
		return fail(err)
	}
	j.Done, j.Taken = result, true
	return im.writeRecord(j)
}

// leave removes what was taken of a layer that is damaged there.
func (im *importer) leave(d *donor, l *store.Layer, cause error) error {
	im.opts.Progress.Warn(fmt.Sprintf("layer %s of %s is damaged there (%v): it is taken from the bundle", l.DiffID, d.path, cause))
	return im.untake(l)
}

// untake removes what was taken of a layer.
func (im *importer) untake(l *store.Layer) error {
	return removePaths(
		filepath.Join(im.partial.store, filepath.Dir(store.DiffDir(l.ID))),
		filepath.Join(im.partial.store, store.TarSplitFile(l.ID)))
}

// copyLayer gives l the contents and the tar-split that the donor has.
func (im *importer) copyLayer(d *donor, l *store.Layer) error {
	id := d.layers[l.DiffID]
	from, err := d.open(filepath.Join(d.path, store.DiffDir(id)))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := d.open(filepath.Join(im.partial.store, store.DiffDir(l.ID)))
	if err != nil {
		return err
	}
	defer to.Close()
	c := &copier{seen: make(map[uint64]string)}
	if err := linkTree(folderOf(from), folderOf(to), c.place); err != nil {
		return err
	}
	// The tar-split is small, and immutable files cannot be linked.
	return copyFile(
		filepath.Join(d.path, store.TarSplitFile(id)),
		filepath.Join(im.partial.store, store.TarSplitFile(l.ID)))
}

// openDonor reads the records of a store and prepares linking from it to beside.
func openDonor(path, beside string) (*donor, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(abs, store.OverlayDir)); err != nil {
		return nil, err
	}
	d := &donor{path: abs, layers: make(map[digest.Digest]string)}
	// A store that is to be repaired may have damaged records.
	if st, err := store.Open(store.Files(abs)); err == nil {
		for _, l := range st.Layers {
			d.layers[l.UncompressedDigest] = l.ID
		}
	}
	d.base = commonDir(abs, beside)
	fd, err := unix.OpenTree(unix.AT_FDCWD, d.base, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err == nil {
		d.tree = os.NewFile(uintptr(fd), d.base)
	}
	// Without it files are linked where no mount is in the way, else copied.
	return d, nil
}

// find returns the ID of a layer with the content of j, "" where there is none.
func (d *donor) find(j *build.Job) string {
	if id := d.layers[j.First().DiffID]; id != "" {
		return id
	}
	for _, l := range j.Layers {
		if _, err := os.Stat(filepath.Join(d.path, store.DiffDir(l.ID))); err == nil {
			d.layers[l.DiffID] = l.ID
			return l.ID
		}
	}
	return ""
}

func (d *donor) close() {
	if d.tree != nil {
		d.tree.Close()
	}
}

// open opens a directory below base, around the mounts. What lies on another
// file system is not there; then it is opened as it is.
func (d *donor) open(path string) (*os.File, error) {
	if d.tree != nil {
		rel, err := filepath.Rel(d.base, path)
		if err != nil {
			return nil, err
		}
		fd, err := unix.Openat(int(d.tree.Fd()), rel, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == nil {
			return os.NewFile(uintptr(fd), path), nil
		}
	}
	return os.Open(path)
}

// commonDir returns the longest directory above both paths.
func commonDir(a, b string) string {
	for dir := filepath.Dir(a); ; dir = filepath.Dir(dir) {
		if dir == "/" || strings.HasPrefix(b, dir+"/") {
			return dir
		}
	}
}
