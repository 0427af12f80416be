package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/budget"
	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/vbatts/tar-split/archive/tar"
)

// worker decodes contents, one after another, with the same buffers.
type worker struct {
	im        *importer
	extractor extract.Extractor
	writer    *erofs.Writer // nil while there are no places
	gzip      *gzip.Writer
	splitBuf  []byte

	from   *donorLayer // of an image, while that is read
	images map[*donor]*erofs.Reader
	buf    []byte // for its contents
}

// NewWorker implements build.Writer.
func (im *importer) NewWorker() build.Worker { return im.newWorker() }

func (im *importer) newWorker() *worker {
	w := &worker{im: im, splitBuf: make([]byte, 0, chunkSize), images: make(map[*donor]*erofs.Reader)}
	if im.build != nil {
		w.writer = im.build.NewWriter()
	}
	return w
}

// Flush implements build.Worker.
func (w *worker) Flush() error {
	if w.writer == nil {
		return nil
	}
	if err := w.writer.Flush(); err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	return nil
}

// Layer implements build.Worker: it reads one content, proves it, and writes what of it
// no other layer has written: from a donor, or if that is damaged from the bundle.
func (w *worker) Layer(ctx context.Context, bj *build.Job) error {
	j := w.im.work[bj.Number]
	var work *budget.Work
	defer func() { work.Done() }()
	err := w.donorFirst(ctx, j, func(d *donor) error {
		j.Taken = d != nil
		work.Done() // of a donor that failed: the bundle's readers may have to wait
		work = layerrules.Begin(ctx)
		return w.decodeFrom(ctx, d, j, work)
	})
	if err != nil {
		return j.Error("decoding layer", err)
	}
	j.take.numbers = nil
	err = w.im.describe(j)
	j.tree.free()
	j.tree = nil
	if err != nil {
		return j.Error("describing layer", err)
	}
	return nil
}

// decodeFrom decodes from a donor, nil for the bundle.
func (w *worker) decodeFrom(ctx context.Context, d *donor, j *job, work *budget.Work) error {
	table, closeTable, err := w.im.openTable(ctx, j)
	if err != nil {
		return err
	}
	defer closeTable()
	t := newTree(w.im.trees, func(hdr *tar.Header, c *extract.Content) (erofs.Content, error) { return w.content(j, hdr, c) })
	t.devices = !w.im.opts.NoDevices
	opts := extract.Options{
		MaxSize: j.First().DiffSize, Table: table, Work: work, Keeps: nodeMemory,
		Prove: func(listed filetable.Entry) bool { return w.im.index.shared(listed.SHA256) },
	}
	if d != nil && d.file != nil {
		opts.Prove = func(filetable.Entry) bool { return false } // content does
		j.Done, j.split, err = w.replay(ctx, d, j, t, opts)
	} else {
		j.Done, j.split, err = w.scanAndSplit(ctx, d, j, t, opts)
	}
	if err != nil {
		t.free()
		return err
	}
	j.tree = t
	return nil
}

// scanAndSplit scans and makes the tar-split.
func (w *worker) scanAndSplit(ctx context.Context, d *donor, j *job, t extract.Tree, opts extract.Options) (*extract.Result, split, error) {
	out := w.im.splits.create(w.splitBuf)
	fail := func(err error) (*extract.Result, split, error) {
		return nil, split{}, fmt.Errorf("compressing tar-split: %w", err)
	}
	if w.gzip == nil {
		var err error
		if w.gzip, err = gzip.NewWriterLevel(out, splitLevel); err != nil {
			return fail(err)
		}
	} else {
		w.gzip.Reset(out)
	}
	result, err := w.scan(ctx, d, j, t, w.gzip, opts)
	if err != nil {
		return nil, split{}, err
	}
	if err := errors.Join(w.gzip.Close(), out.close()); err != nil {
		return fail(err)
	}
	return result, split{size: out.size, open: out.reader}, nil
}

// scan reads the plain tar of a job to its end, and proves it: a donor's, or that in
// the blob of the bundle.
func (w *worker) scan(ctx context.Context, d *donor, j *job, t extract.Tree, split io.Writer, opts extract.Options) (*extract.Result, error) {
	if d != nil {
		return w.scanDonor(ctx, d, j, t, split, opts)
	}
	l := j.First()
	r, err := w.im.src.OpenLayerUnverified(ctx, l.Blob)
	if err != nil {
		return nil, fmt.Errorf("opening its blob: %w", err)
	}
	defer r.Close()
	plain, err := blob.Open(ctx, r, l, func(n int64) { w.im.opts.Progress.Add(build.PhaseImport, n) })
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	result, err := w.extractor.Scan(ctx, plain.Tar(), t, split, opts)
	if err != nil {
		return nil, err
	}
	if err := plain.Finish(); err != nil {
		return nil, err
	}
	return result, blob.Prove(l, result)
}

// content returns the place of a file's content, and writes it where nobody has.
// Where several files share it, each is hashed: where one is not what its table says,
// there will be no image. A place that only this file has holds what the layer holds,
// which the diff ID proves.
func (w *worker) content(j *job, hdr *tar.Header, c *extract.Content) (erofs.Content, error) {
	if hdr.Size == 0 {
		return 0, nil
	}
	found, number, ok := w.im.index.find(c.Listed())
	if !ok || found.size != hdr.Size {
		return 0, fmt.Errorf("%w: it is not the table of a moment ago", extract.ErrTable)
	}
	place := found.place
	if w.from != nil {
		return place, w.reuse(j, place, number, hdr, c.Listed())
	}
	if !w.im.index.take(number) {
		return place, nil
	}
	j.take.numbers = append(j.take.numbers, number)
	return place, w.writer.Copy(place, c)
}

// openTable opens the file table of a job: the bundle's, or the one made here.
func (im *importer) openTable(ctx context.Context, j *job) (*filetable.Reader, func(), error) {
	if j.table != nil {
		return filetable.NewReader(j.table.reader()), func() {}, nil
	}
	r, err := im.src.OpenTable(ctx, j.First().Table)
	if err != nil {
		return nil, nil, fmt.Errorf("opening its file table: %w", err)
	}
	return filetable.NewReader(r), func() { _ = r.Close() }, nil
}
