// Package build is the one run that writes a store, whatever its form: it plans,
// looks for room, reads each layer once and in parallel, has the metadata written,
// checks the store with the library and only then lets it have its name. A Writer
// knows the form: see packages dir and image.
package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/check"
	"github.com/nodeseal/nodeseal/internal/store/extract"
)

// The phases of progress that all forms have.
const (
	PhaseImport = "import"
	phaseCheck  = "check"
)

// Writer writes a store of one form. Run calls its methods in this order, each at most
// once for an attempt, from one goroutine.
type Writer interface {
	// Probe tries what the machine must be able to do.
	Probe(ctx context.Context) error
	// Attempt calls make, which does all that lies between Probe and Publish. If
	// that fails for a reason that the writer can remove, it calls make again.
	Attempt(ctx context.Context, make func(context.Context) error) error
	// Begin prepares the store for the jobs, and takes what an earlier run or
	// another store has: those jobs have Done. It returns what the store will need.
	Begin(ctx context.Context, jobs []*Job) (store.Need, error)
	// Originals writes what the plan keeps as the registry has it, each proven by its
	// digest, as far as Begin has not taken it.
	Originals(ctx context.Context) error
	// NewWorker returns a worker for one goroutine.
	NewWorker() Worker
	// Join is called when every job has Done. It gives the layers with the same
	// content their own, and writes what the workers have left for later.
	Join(ctx context.Context) error
	// Metadata writes the other files of the store, and gives the root directories
	// of all layers their attributes.
	Metadata(ctx context.Context, files iter.Seq[store.File], roots Roots) error
	// Check makes the store readable, calls open with its directory and with one in
	// which the library may have a store of its own, and returns its error.
	Check(ctx context.Context, open func(ctx context.Context, dir, scratch string) error) error
	// Publish syncs the store and gives it its name.
	Publish(ctx context.Context) error
	// Close ends the work. If the store was not published, only what a next run
	// can use may stay.
	Close(published bool) error
}

// Worker writes contents, one after another.
type Worker interface {
	// Layer writes and proves the content of j, and sets Done.
	Layer(ctx context.Context, j *Job) error
	// Flush is called after the last job of the worker.
	Flush() error
}

// Roots are the attributes of the root directories of layers.
type Roots map[*store.Layer]extract.Root

// Run writes the store of the images of src to path, which must not exist. open makes
// the writer, and keeps other writers of the same path out until Close. Two calls of Run
// for one path may be made at the same time.
//
// Errors wrap store.ErrExists if path exists, store.ErrPrecondition if the machine
// lacks something, store.ErrDamaged if the source is damaged or hostile. When ctx ends,
// its error is returned.
func Run(ctx context.Context, src store.Source, path string, open func(*store.Plan) (Writer, error), o store.ImportOptions) (*store.Counts, error) {
	return RunStepwise(ctx, src, path, open, o, func(string) error { return nil })
}

// RunStepwise is Run that calls before before each step, and ends with its error; tests do.
func RunStepwise(ctx context.Context, src store.Source, path string, open func(*store.Plan) (Writer, error), o store.ImportOptions, before func(step string) error) (_ *store.Counts, err error) {
	if err := store.CheckPath(path); err != nil {
		return nil, err
	}
	if err := Absent(path); err != nil {
		return nil, err
	}
	r := &run{src: src, path: path, opts: o.WithDefaults(), before: before}
	r.plan, err = store.NewPlan(ctx, src, store.Selection{Want: o.Want, Architecture: r.opts.Architecture, Progress: o.Progress})
	if err != nil {
		return nil, fmt.Errorf("planning the store: %w", err)
	}
	if r.w, err = open(r.plan); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.w.Close(err == nil)) }()
	if err := r.do(ctx, step{"probe", r.w.Probe}); err != nil {
		return nil, err
	}
	if err := r.w.Attempt(ctx, r.attempt); err != nil {
		return nil, err
	}
	publish := func(ctx context.Context) error {
		return r.opts.Progress.During("sync", func() error { return r.w.Publish(ctx) })
	}
	if err := r.do(ctx, step{"finish", publish}); err != nil {
		return nil, err
	}
	return r.counts(), nil
}

// Absent returns an error that wraps store.ErrExists if there is something at path.
func Absent(path string) error {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s", store.ErrExists, path)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("looking for %s: %w", path, err)
	}
	return nil
}

// run is one run.
type run struct {
	src    store.Source
	path   string
	opts   store.ImportOptions
	before func(step string) error
	plan   *store.Plan
	w      Writer
	jobs   []*Job
	need   store.Need
}

// step is a part of a run.
type step struct {
	name string
	do   func(context.Context) error
}

// do does steps, one after another.
func (r *run) do(ctx context.Context, steps ...step) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.before(s.name); err != nil {
			return err
		}
		if err := s.do(ctx); err != nil {
			return store.Explain(ctx, err)
		}
	}
	return nil
}

// attempt makes the store.
func (r *run) attempt(ctx context.Context) error {
	r.jobs = newJobs(r.plan)
	return r.do(ctx,
		step{"recover", r.begin},
		step{"need", r.room},
		step{"originals", r.w.Originals},
		step{"extract", r.layers},
		step{"link", r.w.Join},
		step{"metadata", func(ctx context.Context) error {
			return r.opts.Progress.During("records", func() error { return r.metadata(ctx) })
		}},
		step{"check", r.check},
	)
}

func (r *run) begin(ctx context.Context) (err error) {
	r.need, err = r.w.Begin(ctx, r.jobs)
	r.need.Bytes += r.opts.Beside
	return err
}

// room compares what the store will take with what is free beside it.
func (r *run) room(context.Context) error { return Room(r.path, r.need, r.opts.MaxUsage) }

// Room is store.Room for a store that will be at path.
func Room(path string, need store.Need, maxUsage int) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("asking for free space: %w", err)
	}
	defer dir.Close()
	return store.Room(int(dir.Fd()), path, need, maxUsage)
}

func (r *run) metadata(ctx context.Context) error {
	files, err := r.plan.Files(facts(r.jobs), r.src.RawInventory())
	if err != nil {
		return fmt.Errorf("making metadata: %w", err)
	}
	return r.w.Metadata(ctx, files, roots(r.plan, r.jobs))
}

func (r *run) check(ctx context.Context) error {
	return r.w.Check(ctx, func(ctx context.Context, dir, scratch string) error {
		return Check(ctx, r.plan.References, len(r.plan.Layers), dir, scratch, r.opts.Progress)
	})
}

// Check opens the store in the directory dir with the library, which has a store of its
// own in scratch, and mounts the images. It reports the phase "check" to p.
func Check(ctx context.Context, refs []store.Reference, layers int, dir, scratch string, p progress.Func) error {
	p.Begin(phaseCheck, int64(len(refs)), progress.Count)
	err := check.Store(ctx, dir, scratch, check.Options{
		References: refs, Layers: layers, Mount: true,
		Done: func() { p.Add(phaseCheck, 1) },
	})
	if err != nil {
		return fmt.Errorf("checking the store: %w", err)
	}
	p.End(phaseCheck)
	return nil
}
