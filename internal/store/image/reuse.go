package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sys/unix"
)

// donorFirst does something with a donor that has the content of j, and where that is
// damaged, or there is none, with the bundle: nil.
func (w *worker) donorFirst(ctx context.Context, j *job, do func(d *donor) error) error {
	d := w.im.donorOf(j)
	if d == nil {
		return do(nil)
	}
	err := do(d)
	if err == nil || ctx.Err() != nil || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return err
	}
	if err := w.leave(d, j, err); err != nil {
		return err
	}
	return do(nil)
}

// scanDonor reads what a donor has of a job to its end. A directory's is proven as the
// bundle's: the plain tar has the diff ID, and its contents are those of the table, or
// nothing is taken.
func (w *worker) scanDonor(ctx context.Context, d *donor, j *job, t extract.Tree, split io.Writer, opts extract.Options) (*extract.Result, error) {
	l, err := d.openLayer(ctx, j.First().DiffID, nil)
	if err != nil {
		return nil, err
	}
	defer l.close()
	result, err := w.extractor.Scan(ctx, l, t, split, opts)
	if err == nil {
		err = blob.Prove(j.First(), result)
	}
	if err != nil {
		return nil, err
	}
	w.im.opts.Progress.Add(build.PhaseImport, j.Size)
	return result, nil
}

// replay reads what an image has of a job. That it holds the layer of this diff ID is
// proven by the image's digest, which was recorded when all of its layers had been: so
// nothing is hashed but contents that other layers have, too, as the tables say: those
// may be the bundle's word alone. Contents are found by their names, so a layer in which
// one name stands for several files is not taken.
func (w *worker) replay(ctx context.Context, d *donor, j *job, t *tree, opts extract.Options) (*extract.Result, split, error) {
	if w.images[d] == nil {
		r, err := erofs.NewReader(d.file, d.size)
		if err != nil {
			return nil, split{}, err
		}
		w.images[d] = r
	}
	l, err := d.openLayer(ctx, j.First().DiffID, w.images[d])
	if err != nil {
		return nil, split{}, err
	}
	w.from = l
	defer func() { w.from = nil }()
	result, err := w.extractor.Replay(ctx, l, t, opts)
	if err != nil {
		return nil, split{}, err
	}
	switch size := d.layers[j.First().DiffID].size; {
	case t.replaced:
		return nil, split{}, errors.New("it has several files of one name")
	case result.DiffSize != size:
		return nil, split{}, fmt.Errorf("its plain tar has %d bytes, recorded are %d", result.DiffSize, size)
	}
	result.DiffID = j.First().DiffID
	if err := blob.Prove(j.First(), result); err != nil {
		return nil, split{}, err
	}
	w.im.opts.Progress.Add(build.PhaseImport, j.Size)
	return result, l.split, nil
}

// leave gives back what a job has taken of a donor, where that is damaged: then the
// bundle has it. An image's layer that cannot be taken may still be whole.
func (w *worker) leave(d *donor, j *job, cause error) error {
	if d.file != nil {
		w.im.opts.Progress.Say(fmt.Sprintf("layer %s is taken from the bundle, not from %s: %v", j.First().DiffID, d.path, cause))
	} else {
		w.im.opts.Progress.Warn(fmt.Sprintf("layer %s of %s is damaged there (%v): it is taken from the bundle",
			j.First().DiffID, d.path, cause))
	}
	j.left = true
	// What is still held would otherwise be written later, over what is right.
	if w.writer != nil {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	for _, n := range j.take.numbers {
		w.im.index.untake(n)
	}
	j.take = take{}
	return nil
}

// reuse gives a content the blocks that the image has of it, and copies the rest,
// where nobody has written it.
func (w *worker) reuse(j *job, to erofs.Content, number int, hdr *tar.Header, listed key) error {
	old, err := w.from.find(hdr.Name, hdr.Size)
	if err != nil {
		return err
	}
	if w.im.index.isShared(number) {
		if err := w.proveContent(number, old, listed); err != nil {
			return err
		}
	}
	if !w.im.index.take(number) {
		return nil
	}
	j.take.numbers = append(j.take.numbers, number)
	return w.cloneContent(j, to, old)
}

// proveContent compares a content of the image with what the file table lists. It may
// be that another layer's file gets what stands here: that the image is proven says
// nothing about that. Files with the same blocks, as the image has them, are hashed once.
func (w *worker) proveContent(number int, old erofs.File, listed key) error {
	at, _, _, tail := old.Extents()
	where := place{donor: w.from.donor, at: at}
	if tail == 0 && w.im.index.provenAt(number, where) {
		return nil
	}
	if w.buf == nil {
		w.buf = make([]byte, 256<<10)
	}
	sum := sha256.New()
	if _, err := io.CopyBuffer(sum, struct{ io.Reader }{w.from.image.Open(old)}, w.buf); err != nil {
		return fmt.Errorf("reading a content: %w", err)
	}
	if got := key(sum.Sum(nil)); got != listed {
		return fmt.Errorf("%w: it claims the hash of another content, sha256:%x, for sha256:%x", extract.ErrTable, listed, got)
	}
	if tail == 0 {
		w.im.index.setProven(number, where)
	}
	return nil
}

// cloneContent gives a content the blocks of a file of the image, and copies the rest.
func (w *worker) cloneContent(j *job, place erofs.Content, old erofs.File) error {
	c, skip, err := w.im.cloneOf(w.from.donor, place, old)
	if err != nil {
		return err
	}
	if c.length > 0 {
		j.take.add(c)
	}
	return w.writer.CopyRest(place, skip, w.from.image.OpenAt(old, skip))
}

// cloneOf returns which blocks of a file of a donor's image a place can have, and how many
// bytes these hold: the rest is to be copied.
func (im *importer) cloneOf(d *donor, place erofs.Content, old erofs.File) (c clone, skip int64, err error) {
	to, head, err := im.build.Extent(place)
	if err != nil {
		return clone{}, 0, err
	}
	from, oldHead, _, _ := old.Extents()
	length := old.Size &^ (erofs.BlockSize - 1)
	if head == old.Size && oldHead == old.Size && length < old.Size && d.zeroPadded(from, old.Size) {
		length += erofs.BlockSize
	}
	return clone{donor: d, from: from, to: to, length: length}, min(length, old.Size), nil
}

// zeroPadded reports whether the last block of size bytes at off has zeros behind
// them, as a new one would.
func (d *donor) zeroPadded(off, size int64) bool {
	var block [erofs.BlockSize]byte
	rest := block[:erofs.BlockSize-size%erofs.BlockSize]
	if _, err := d.file.ReadAt(rest, off+size); err != nil {
		return false
	}
	return !slices.ContainsFunc(rest, func(b byte) bool { return b != 0 })
}
