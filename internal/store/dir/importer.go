package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/check"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"go.podman.io/storage/pkg/unshare"
)

// The phases of progress.
const (
	phaseTake   = "take"
	phaseCount  = "count"
	phaseImport = "import"
	phaseCheck  = "check"
)

// importer is one import.
type importer struct {
	src    store.Source
	opts   store.ImportOptions
	step   func(name string) error
	target string
	userNS bool
	label  labeller

	plan    *store.Plan
	partial *partial
	work    []*job // unique contents, by diff ID
	repeats repeats
	syncer  *syncer
	result  Result
}

// job is one content to extract, and the layers that have it.
type job struct {
	// layers have this content; the first one's directory is extracted to, the
	// others' get hard links.
	layers []*store.Layer
	size   int64 // of the blob
	done   *extract.Result
}

func newImporter(src store.Source, target string, opts store.ImportOptions) (*importer, error) {
	abs, err := filepath.Abs(target)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", target, err)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: importing needs root, or a user namespace in which this user is root", store.ErrPrecondition)
	}
	return &importer{
		src: src, opts: opts, target: abs,
		userNS: unshare.IsRootless(),
		label:  newLabeller(),
		result: Result{Path: abs},
	}, nil
}

// run does the steps of an import, one after another.
func (im *importer) run(ctx context.Context) (result *Result, err error) {
	if _, err := os.Lstat(im.target); err == nil {
		return nil, fmt.Errorf("%w: %s", store.ErrExists, im.target)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for %s: %w", im.target, err)
	}
	if err := im.makePlan(ctx); err != nil {
		return nil, err
	}
	if im.partial, err = openPartial(im.target, im.label); err != nil {
		return nil, err
	}
	im.syncer = &syncer{im: im}
	defer func() {
		_ = im.syncer.wait() // where it matters, finish has asked
		err = errors.Join(err, im.partial.close(err == nil))
	}()
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"probe", im.probe},
		{"recover", im.takeOver},
		{"take", im.takeAll},
		{"need", im.checkNeed},
		{"extract", im.extractAll},
		{"link", im.linkAll},
		{"metadata", im.writeMetadata},
		{"check", im.check},
		{"finish", im.finish},
	}
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := im.step(s.name); err != nil {
			return nil, err
		}
		if err := s.do(ctx); err != nil {
			return nil, store.Explain(ctx, err)
		}
	}
	return &im.result, nil
}

// makePlan verifies manifests and configurations and finds the unique contents.
func (im *importer) makePlan(ctx context.Context) (err error) {
	im.plan, err = store.NewPlan(ctx, im.src, store.Selection{
		Want: im.opts.Want, Architecture: im.opts.Architecture, Progress: im.opts.Progress,
	})
	if err != nil {
		return fmt.Errorf("planning the store: %w", err)
	}
	for _, layers := range im.plan.Contents() {
		im.work = append(im.work, &job{layers: layers, size: layers[0].BlobSize})
	}
	im.result.Images, im.result.References = len(im.plan.Images), len(im.plan.References)
	im.result.Layers, im.result.Skipped = len(im.plan.Layers), im.plan.Skipped
	return nil
}

// check opens the store with the library.
func (im *importer) check(ctx context.Context) error {
	im.opts.Progress.Begin(phaseCheck, int64(len(im.plan.References)), progress.Count)
	err := check.Store(ctx, im.partial.store, im.partial.scratch(), check.Options{
		References: im.plan.References,
		Layers:     len(im.plan.Layers),
		Mount:      true,
		Done:       func() { im.opts.Progress.Add(phaseCheck, 1) },
	})
	if err != nil {
		return fmt.Errorf("checking the store: %w", err)
	}
	im.opts.Progress.End(phaseCheck)
	return nil
}

// finish syncs the store and gives it its name.
func (im *importer) finish(context.Context) error {
	if err := im.syncer.wait(); err != nil {
		return err
	}
	if err := im.stampTimes(); err != nil {
		return err
	}
	if err := im.partial.sync(); err != nil {
		return err
	}
	if err := im.step("rename"); err != nil {
		return err
	}
	return im.partial.publish(im.target)
}
