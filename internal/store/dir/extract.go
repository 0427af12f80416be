package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/rmtree"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/nodeseal/nodeseal/internal/store/extract"
)

// worker extracts contents, one after another, with the same buffers.
type worker struct {
	im        *importer
	extractor extract.Extractor
	split     tarSplit
}

// NewWorker implements build.Writer.
func (im *importer) NewWorker() build.Worker { return &worker{im: im} }

// Layer implements build.Worker: it extracts and proves one content, and records it.
func (w *worker) Layer(ctx context.Context, j *build.Job) error {
	err := w.im.label.creating(func() error { return w.extractOne(ctx, j) })
	if err != nil {
		return j.Error("extracting layer", err)
	}
	w.im.syncer.finished(j)
	return nil
}

// Flush implements build.Worker.
func (*worker) Flush() error { return nil }

func (w *worker) extractOne(ctx context.Context, j *build.Job) error {
	result, err := w.unpack(ctx, j.First())
	if err == nil {
		err = blob.Prove(j.First(), result)
	}
	if err == nil {
		err = w.im.step("record")
	}
	if err != nil {
		return err
	}
	j.Done = result
	return w.im.writeRecord(j)
}

// unpack extracts the content of l into its diff directory.
func (w *worker) unpack(ctx context.Context, l *store.Layer) (_ *extract.Result, err error) {
	im := w.im
	work := layerrules.Begin(ctx)
	defer work.Done()
	opts := extract.Options{
		Work:          work,
		MaxSize:       l.DiffSize,
		UserNamespace: im.userNS,
		NoDevices:     im.opts.NoDevices,
		Prove:         im.repeats.listed,
	}
	if l.Table != "" {
		table, err := im.src.OpenTable(ctx, l.Table)
		if err != nil {
			return nil, fmt.Errorf("opening its file table: %w", err)
		}
		defer table.Close()
		opts.Table = filetable.NewReader(table)
	}
	raw, err := im.openLayer(ctx, l) // after the table, as package budget has it
	if err != nil {
		return nil, fmt.Errorf("opening its blob: %w", err)
	}
	defer raw.Close()
	plain, err := blob.Open(ctx, raw, l, func(n int64) { im.opts.Progress.Add(build.PhaseImport, n) })
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	diff, err := im.makeDiff(l)
	if err != nil {
		return nil, err
	}
	defer diff.Close()
	if err := w.split.create(filepath.Join(im.partial.store, store.TarSplitFile(l.ID))); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.split.close()) }()
	result, err := w.extractor.Layer(ctx, plain.Tar(), diff, w.split.gzip, opts)
	if err != nil {
		return nil, err
	}
	return result, plain.Finish()
}

// makeDiff makes the directory of a layer and opens its diff directory.
func (im *importer) makeDiff(l *store.Layer) (*os.File, error) {
	path := filepath.Join(im.partial.store, store.DiffDir(l.ID))
	// A run that was cut short, in this process, may have begun it.
	if err := rmtree.RemoveAll(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("making the layer's directory: %w", err)
	}
	for _, dir := range []string{filepath.Dir(path), path} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the layer's directory: %w", err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the layer's directory: %w", err)
	}
	return f, nil
}

// makeFolders makes the folders of the store that are not there.
func (im *importer) makeFolders() error {
	for _, dir := range []string{store.OverlayDir, store.LinkDir, store.LayersDir, store.ImagesDir} {
		if err := im.mkdir(dir); err != nil {
			return err
		}
	}
	return nil
}

// mkdir makes a folder of the store.
func (im *importer) mkdir(name string) error {
	mode := os.FileMode(0o700)
	err := im.label.creating(func() error { return os.Mkdir(filepath.Join(im.partial.store, name), mode) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the store's folders: %w", err)
	}
	return nil
}
