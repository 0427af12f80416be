package dir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/rmtree"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"golang.org/x/sync/errgroup"
)

// extractAll extracts what is not finished yet, in parallel, largest first.
func (im *importer) extractAll(ctx context.Context) error {
	var todo []*job
	var total int64
	for _, j := range im.work {
		if j.done == nil {
			todo = append(todo, j)
			total += j.size
		}
	}
	slices.SortStableFunc(todo, func(a, b *job) int { return cmp.Compare(b.size, a.size) })
	if err := im.makeFolders(); err != nil {
		return err
	}
	im.opts.Progress.Begin(phaseImport, total, progress.Bytes)
	g, gctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(im.opts.Jobs, len(todo)) {
		g.Go(func() error {
			w := worker{im: im}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(todo) {
					return nil
				}
				if err := im.label.creating(func() error { return w.extractOne(gctx, todo[i]) }); err != nil {
					return err
				}
				im.syncer.finished(todo[i])
			}
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	im.syncer.last()
	im.opts.Progress.End(phaseImport)
	for _, j := range im.work {
		im.result.Files += j.done.Files
		im.result.Bytes += j.done.DiffSize
		im.result.Squashed += j.done.Squashed
	}
	im.result.Extracted = len(todo)
	if im.result.Squashed > 0 {
		im.opts.Progress.Warn(fmt.Sprintf("%d files have owners that this user namespace does not know; they belong to its root now", im.result.Squashed))
	}
	return nil
}

// worker extracts contents, one after another, with the same buffers.
type worker struct {
	im        *importer
	extractor extract.Extractor
	split     tarSplit
}

// extractOne extracts and proves one content, and records it.
func (w *worker) extractOne(ctx context.Context, j *job) error {
	im, l := w.im, j.layers[0]
	im.opts.Progress.Working(phaseImport, l.DiffID.String())
	result, err := w.unpack(ctx, l)
	if err == nil {
		err = blob.Prove(l, result)
	}
	if err == nil {
		err = im.step("record")
	}
	if err == nil {
		j.done = result
		err = im.writeRecord(j)
	}
	if err != nil {
		return &store.Error{Kind: blob.Kind(err), Op: "extracting layer", Image: l.Image, Digest: l.DiffID, Err: err}
	}
	return nil
}

// unpack extracts the content of l into its diff directory.
func (w *worker) unpack(ctx context.Context, l *store.Layer) (_ *extract.Result, err error) {
	im := w.im
	raw, err := im.src.OpenLayerUnverified(ctx, l.Blob)
	if err != nil {
		return nil, fmt.Errorf("opening its blob: %w", err)
	}
	defer raw.Close()
	plain, err := blob.Open(raw, l, func(n int64) { im.opts.Progress.Add(phaseImport, n) })
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	opts := extract.Options{
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
