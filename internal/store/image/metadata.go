package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"path"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/opencontainers/go-digest"
)

// inventoryDigest identifies the image: the same inventory gives the same store.
func (im *importer) inventoryDigest() digest.Digest { return digest.FromBytes(im.src.RawInventory()) }

// writeMetadata writes everything but the layers' files. Only now all sizes are
// known: the places follow those of the files, in the order of the plan.
func (im *importer) writeMetadata(ctx context.Context) error {
	w := &metadataWriter{im: im, writer: im.build.NewWriter(), known: make(map[key]erofs.Content)}
	if err := im.setRoots(); err != nil {
		return fmt.Errorf("making metadata: %w", err)
	}
	for _, j := range im.work {
		if err := w.writeSplit(j); err != nil {
			return fmt.Errorf("writing tar-splits: %w", err)
		}
	}
	facts := make(map[digest.Digest]store.Facts, len(im.work))
	for _, j := range im.work {
		facts[j.layers[0].DiffID] = store.Facts{DiffSize: j.done.DiffSize, UIDs: j.done.UIDs, GIDs: j.done.GIDs}
	}
	files, err := im.plan.Files(facts, im.src.RawInventory())
	if err != nil {
		return fmt.Errorf("making metadata: %w", err)
	}
	for _, f := range files {
		if err := w.write(ctx, f); err != nil {
			return fmt.Errorf("writing %s: %w", f.Path, err)
		}
	}
	if err := w.writer.Flush(); err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	return nil
}

// setRoots gives the root directory of every layer its attributes: the tar's, else
// those of the layer below.
func (im *importer) setRoots() error {
	type root struct {
		job  *job
		node erofs.Node
	}
	own := make(map[*store.Layer]root, len(im.plan.Layers))
	for _, j := range im.work {
		for i, l := range j.layers {
			own[l] = root{j, j.diffs[i]}
		}
	}
	has := make(map[*store.Layer]*extract.Root, len(im.plan.Layers))
	for _, l := range im.plan.Layers { // parents come first
		r := own[l]
		attrs := r.job.done.Root
		if attrs == nil {
			inherited := extract.Inherited(has[l.Parent])
			attrs = &inherited
		}
		has[l] = attrs
		err := im.build.SetAttr(r.node, erofs.Attr{
			Mode: attrs.Mode, UID: uint32(attrs.UID), GID: uint32(attrs.GID), ModTime: attrs.Modified, Xattrs: r.job.root.xattrs,
		})
		if err != nil {
			return fmt.Errorf("root directory of layer %s: %w", l.ID, err)
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
	for i, l := range j.layers {
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
