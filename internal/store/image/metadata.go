package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"path"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/opencontainers/go-digest"
)

// inventoryDigest identifies the image: the same inventory gives the same store.
func (im *importer) inventoryDigest() digest.Digest { return digest.FromBytes(im.src.RawInventory()) }

// Metadata implements build.Writer. Only now all sizes are known: the places follow those
// of the files, in the order of the plan.
func (im *importer) Metadata(ctx context.Context, files iter.Seq[store.File], roots build.Roots) error {
	w := &metadataWriter{im: im, writer: im.build.NewWriter(), known: make(map[key]erofs.Content)}
	if err := im.setRoots(roots); err != nil {
		return fmt.Errorf("making metadata: %w", err)
	}
	for _, j := range im.work {
		if err := w.writeSplit(j); err != nil {
			return fmt.Errorf("writing tar-splits: %w", err)
		}
	}
	if err := w.writeOriginals(); err != nil {
		return err
	}
	for f := range files {
		if err := w.write(ctx, f); err != nil {
			return fmt.Errorf("writing %s: %w", f.Path, err)
		}
	}
	if err := w.writer.Flush(); err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	return nil
}

// setRoots gives the root directory of every layer its attributes.
func (im *importer) setRoots(roots build.Roots) error {
	for _, j := range im.work {
		for i, l := range j.Layers {
			r := roots[l]
			err := im.build.SetAttr(j.diffs[i], erofs.Attr{
				Mode: r.Mode, UID: uint32(r.UID), GID: uint32(r.GID), ModTime: r.Modified, Xattrs: j.attrs,
			})
			if err != nil {
				return fmt.Errorf("root directory of layer %s: %w", l.ID, err)
			}
		}
	}
	return nil
}

// metadataWriter writes small files, equal ones once.
type metadataWriter struct {
	im     *importer
	writer *erofs.Writer
	known  map[key]erofs.Content
}

// writeSplit writes the tar-split of a job, one file for all of its layers.
func (w *metadataWriter) writeSplit(j *job) error {
	c, err := w.place(j.split.size, j.split.open())
	if err != nil {
		return err
	}
	var file erofs.Node
	for i, l := range j.Layers {
		name := store.TarSplitFile(l.ID)
		dir, err := w.im.tree.folder(path.Dir(name))
		if err != nil {
			return err
		}
		if i == 0 {
			file, err = w.im.build.File(dir, path.Base(name), erofs.Attr{Mode: 0o600}, c)
		} else {
			err = w.im.build.Link(dir, path.Base(name), file)
		}
		if err != nil {
			return err
		}
	}
	j.split = split{}
	return nil
}

// write writes one file of the store.
func (w *metadataWriter) write(ctx context.Context, f store.File) error {
	dir, err := w.im.tree.folder(path.Dir(f.Path))
	if err != nil {
		return err
	}
	name, attr := path.Base(f.Path), erofs.Attr{Mode: f.Mode}
	switch {
	case f.Link != "":
		attr.Mode = 0o777
		_, err = w.im.build.Symlink(dir, name, attr, f.Link)
		return err
	case f.Dir:
		_, err = w.im.build.Dir(dir, name, attr)
		return err
	}
	data := f.Content
	if f.Blob != "" {
		if data, err = w.im.src.ReadBlob(ctx, f.Blob); err != nil {
			return &store.Error{Kind: blob.Kind(err), Op: "reading blob", Digest: f.Blob, Err: err}
		}
	}
	c, err := w.content(data)
	if err == nil {
		_, err = w.im.build.File(dir, name, attr, c)
	}
	return err
}

// content returns the place of data, and writes it where nothing of the metadata has
// it yet. With files of layers nothing is shared: what a table says of a content
// that one file has is not proven.
func (w *metadataWriter) content(data []byte) (erofs.Content, error) {
	sum := sha256.Sum256(data)
	if c, ok := w.known[sum]; ok {
		return c, nil
	}
	c, err := w.place(int64(len(data)), bytes.NewReader(data))
	w.known[sum] = c
	return c, err
}

func (w *metadataWriter) place(size int64, r io.Reader) (erofs.Content, error) {
	c, err := w.im.build.Reserve(size, 1)
	if err == nil {
		err = w.writer.Copy(c, r)
	}
	return c, err
}
