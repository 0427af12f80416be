package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// originals are the layers that the store keeps as the registry has them.
type originals struct {
	all []store.Original
	// there says which of them the store in the making has, proven.
	there map[digest.Digest]bool
}

// missing are those that are not there.
func (o *originals) missing() []store.Original {
	return slices.DeleteFunc(slices.Clone(o.all), func(one store.Original) bool { return o.there[one.Digest] })
}

// need is what the missing ones will take.
func (o *originals) need() (n store.Need) {
	for _, one := range o.missing() {
		n.Bytes += (one.Size + blockSize - 1) / blockSize * blockSize
		n.Inodes++
	}
	return n
}

// Originals implements build.Writer.
func (im *importer) Originals(ctx context.Context) error {
	if err := im.makeOriginalsDir(); err != nil {
		return err
	}
	missing := im.originals.missing()
	err := build.EachOriginal(ctx, missing, im.opts, func(ctx context.Context, o store.Original) error {
		return im.label.creating(func() error { return im.writeOriginal(ctx, o) })
	})
	if err != nil {
		return err
	}
	for _, o := range missing {
		im.originals.there[o.Digest] = true
	}
	return nil
}

// makeOriginalsDir makes the folder of the originals, if there are some.
func (im *importer) makeOriginalsDir() error {
	if len(im.originals.all) == 0 {
		return nil
	}
	for _, dir := range []string{store.OwnDir, path.Dir(store.OriginalsDir), store.OriginalsDir} {
		if err := im.mkdir(dir); err != nil {
			return err
		}
	}
	return nil
}

// originalPath is where an original is in the store in the making.
func (im *importer) originalPath(d digest.Digest) string {
	return filepath.Join(im.partial.store, filepath.FromSlash(store.OriginalPath(d)))
}

// writeOriginal copies an original out of the source, and proves it.
func (im *importer) writeOriginal(ctx context.Context, o store.Original) (err error) {
	raw, err := o.OpenSource(ctx, im.src)
	if err != nil {
		return fmt.Errorf("opening its blob: %w", err)
	}
	defer raw.Close()
	f, err := os.OpenFile(im.originalPath(o.Digest), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, store.OriginalMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Chmod(store.OriginalMode); err != nil {
		return err
	}
	return build.CopyOriginal(ctx, f, raw, o, func(n int64) { im.opts.Progress.Add(build.PhaseKeep, n) })
}

// takeOriginals takes those that a donor has.
func (im *importer) takeOriginals(ctx context.Context, d *donor) error {
	todo := slices.DeleteFunc(im.originals.missing(), func(o store.Original) bool { return !d.hasOriginal(o) })
	if len(todo) == 0 {
		return nil
	}
	if err := im.makeOriginalsDir(); err != nil {
		return err
	}
	var total int64
	for _, o := range todo {
		total += o.Size
	}
	im.opts.Progress.Begin(phaseTake, total, progress.Bytes)
	for _, o := range todo {
		im.opts.Progress.WorkingOn(phaseTake, o.Digest.String(), o.Title)
		err := im.label.creating(func() error { return im.takeOriginal(ctx, d, o) })
		switch {
		case err == nil:
			im.originals.there[o.Digest] = true
		case ctx.Err() != nil || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
			return &store.Error{Op: "taking over layer", Image: o.Image, Digest: o.Digest, Err: err}
		default:
			im.opts.Progress.Warn(fmt.Sprintf("layer %s of %s is damaged there (%v): it is taken from the bundle", o.Digest, d.path, err))
			if err := removePaths(im.originalPath(o.Digest)); err != nil {
				return err
			}
		}
	}
	im.opts.Progress.End(phaseTake)
	return nil
}

// hasOriginal reports whether the donor has a file of that name and size.
func (d *donor) hasOriginal(o store.Original) bool {
	info, err := os.Lstat(filepath.Join(d.path, filepath.FromSlash(o.Path())))
	return err == nil && info.Mode().IsRegular() && info.Size() == o.Size
}

// takeOriginal links or copies one, and proves it.
func (im *importer) takeOriginal(ctx context.Context, d *donor, o store.Original) error {
	from, err := d.open(filepath.Join(d.path, filepath.FromSlash(store.OriginalsDir)))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := d.open(filepath.Join(im.partial.store, filepath.FromSlash(store.OriginalsDir)))
	if err != nil {
		return err
	}
	defer to.Close()
	c := &copier{seen: make(map[uint64]string)}
	if err := c.place(folderOf(from), folderOf(to), o.Digest.Encoded()); err != nil {
		return err
	}
	f, err := safefile.Open(im.originalPath(o.Digest))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); info.Mode() != store.OriginalMode || ok && (st.Uid != 0 || st.Gid != 0) {
		return fmt.Errorf("its mode is %v, or its owner is not root", info.Mode())
	}
	return build.CopyOriginal(ctx, io.Discard, f, o, func(n int64) { im.opts.Progress.Add(phaseTake, n) })
}

// openLayer opens the blob of a layer: of an original the file that was just written.
func (im *importer) openLayer(ctx context.Context, l *store.Layer) (io.ReadCloser, error) {
	if !im.originals.there[l.Blob] {
		return im.src.OpenLayerUnverified(ctx, l.Blob)
	}
	return safefile.Open(im.originalPath(l.Blob))
}

// presentOriginals reports whether the store target has all originals of the plan, as far as
// that can be seen without reading them.
func presentOriginals(target string, all []store.Original) bool {
	return !slices.ContainsFunc(all, func(o store.Original) bool {
		info, err := os.Lstat(filepath.Join(target, filepath.FromSlash(o.Path())))
		return errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() != o.Size
	})
}
