package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"golang.org/x/sys/unix"
)

// original is a layer that the image keeps as the registry has it.
type original struct {
	store.Original
	place  erofs.Content
	clones []clone // of a donor's image
}

// placeOriginals gives each original its place. Nothing is shared with files of layers: what
// a file table says of those is not proven.
func (im *importer) placeOriginals() error {
	im.originals = nil
	for _, o := range im.plan.Originals {
		c, err := im.build.Reserve(o.Size, 1)
		if err != nil {
			return fmt.Errorf("place of layer %s: %w", o.Digest, err)
		}
		im.originals = append(im.originals, &original{Original: o, place: c})
	}
	return nil
}

// originalBytes is what the originals take.
func (im *importer) originalBytes() (n int64) {
	for _, o := range im.originals {
		n += o.Size
	}
	return n
}

// Originals implements build.Writer.
func (im *importer) Originals(ctx context.Context) error {
	return build.EachOriginal(ctx, im.plan.Originals, im.opts, func(ctx context.Context, o store.Original) error {
		i := slices.IndexFunc(im.originals, func(placed *original) bool { return placed.Digest == o.Digest })
		w := im.build.NewWriter()
		if err := im.writeOriginal(ctx, w, im.originals[i]); err != nil {
			return err
		}
		return w.Flush()
	})
}

// writeOriginal writes one: from a donor, or else from the source.
func (im *importer) writeOriginal(ctx context.Context, w *erofs.Writer, o *original) error {
	for _, d := range im.donors {
		switch taken, err := im.takeOriginal(ctx, d, w, o); {
		case err == nil && taken:
			im.opts.Progress.Add(build.PhaseKeep, o.Size)
			return nil
		case err == nil:
		case ctx.Err() != nil || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
			return err
		default:
			o.clones = nil
			im.opts.Progress.Warn(fmt.Sprintf("layer %s of %s is damaged there (%v): it is taken from the bundle", o.Digest, d.path, err))
			if err := w.Flush(); err != nil { // else it would be written later, over what is right
				return err
			}
		}
	}
	raw, err := o.OpenSource(ctx, im.src)
	if err != nil {
		return fmt.Errorf("opening its blob: %w", err)
	}
	defer raw.Close()
	return im.copyOriginal(ctx, w, o, raw, func(n int64) { im.opts.Progress.Add(build.PhaseKeep, n) })
}

// copyOriginal writes and proves the bytes of one.
func (im *importer) copyOriginal(ctx context.Context, w *erofs.Writer, o *original, from io.Reader, read func(int64)) error {
	r, out := io.Pipe()
	proven := make(chan error, 1)
	go func() {
		err := build.CopyOriginal(ctx, out, from, o.Original, read)
		out.CloseWithError(err) // nil is the end
		proven <- err
	}()
	err := w.Copy(o.place, r)
	r.CloseWithError(err)
	if perr := <-proven; perr != nil {
		return perr
	}
	return err
}

// takeOriginal takes one of a donor, if that has it. An image is proven by its digest,
// which was recorded when what it keeps had been; a directory's file is proven here.
func (im *importer) takeOriginal(ctx context.Context, d *donor, w *erofs.Writer, o *original) (taken bool, err error) {
	if d.file == nil {
		f, err := safefile.Open(filepath.Join(d.path, filepath.FromSlash(o.Path())))
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		defer f.Close()
		return true, im.copyOriginal(ctx, w, o, f, nil)
	}
	image, old, err := d.original(o.Original)
	if err != nil || image == nil {
		return false, err
	}
	c, skip, err := im.cloneOf(d, o.place, old)
	if err != nil {
		return false, err
	}
	if c.length > 0 {
		o.clones = []clone{c}
	}
	return true, w.CopyRest(o.place, skip, image.OpenAt(old, skip))
}

// original looks an original up in a donor that is an image; nil where it has none.
func (d *donor) original(o store.Original) (*erofs.Reader, erofs.File, error) {
	r, err := erofs.NewReader(d.file, d.size)
	if err != nil {
		return nil, erofs.File{}, err
	}
	f, err := r.Lookup(o.Path())
	if errors.Is(err, os.ErrNotExist) {
		return nil, f, nil
	}
	if err == nil && (f.Mode&unix.S_IFMT != unix.S_IFREG || f.Size != o.Size) {
		err = fmt.Errorf("it is not a file of %d bytes", o.Size)
	}
	return r, f, err
}

// hasOriginal reports whether an image has one of the originals of the plan.
func (im *importer) hasOriginal(d *donor) bool {
	return d.file != nil && slices.ContainsFunc(im.plan.Originals, func(o store.Original) bool {
		r, _, err := d.original(o)
		return err == nil && r != nil
	})
}

// writeOriginals gives the originals their names.
func (w *metadataWriter) writeOriginals() error {
	for _, o := range w.im.originals {
		dir, err := w.im.tree.folder(path.Dir(o.Path()))
		if err == nil {
			_, err = w.im.build.File(dir, path.Base(o.Path()), erofs.Attr{Mode: store.OriginalMode}, o.place)
		}
		if err != nil {
			return fmt.Errorf("layer %s: %w", o.Digest, err)
		}
	}
	return nil
}
