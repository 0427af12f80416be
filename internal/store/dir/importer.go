package dir

import (
	"context"

	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/opencontainers/go-digest"
)

// The phases of progress that package build does not have.
const (
	phaseTake  = "take"
	phaseCount = "count"
)

// importer is one import. It implements build.Writer.
type importer struct {
	src    store.Source
	opts   store.ImportOptions
	step   func(name string) error
	target string
	userNS bool
	label  labeller

	partial *partial
	jobs    []*build.Job
	// originals are kept besides.
	originals originals
	repeats   repeats
	syncer    *syncer
	linked    int // layers
}

// open opens the partial directory.
func (im *importer) open(p *store.Plan) (_ build.Writer, err error) {
	im.originals = originals{all: p.Originals, there: make(map[digest.Digest]bool)}
	if im.partial, err = openPartial(im.target, im.label); err != nil {
		return nil, err
	}
	im.syncer = &syncer{im: im}
	return im, nil
}

// Attempt implements build.Writer: damage of another store is found before its layers
// are used.
func (im *importer) Attempt(ctx context.Context, make func(context.Context) error) error {
	return make(ctx)
}

// Begin implements build.Writer.
func (im *importer) Begin(ctx context.Context, jobs []*build.Job) (need store.Need, err error) {
	im.jobs, im.repeats = jobs, newRepeats()
	if err := im.takeOver(); err != nil {
		return need, err
	}
	if err := im.makeFolders(); err != nil {
		return need, err
	}
	if err := im.step("take"); err != nil {
		return need, err
	}
	if err := im.takeAll(ctx); err != nil {
		return need, err
	}
	need, err = im.need(ctx)
	kept := im.originals.need()
	need.Bytes += kept.Bytes
	need.Inodes += kept.Inodes
	return need, err
}

// Check implements build.Writer.
func (im *importer) Check(ctx context.Context, open func(ctx context.Context, dir, scratch string) error) error {
	return open(ctx, im.partial.store, im.partial.scratch())
}

// Publish implements build.Writer.
func (im *importer) Publish(context.Context) error {
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
	return build.Publish(im.partial.store, im.target)
}

// Close implements build.Writer. Finished layers stay for the next run.
func (im *importer) Close(published bool) error {
	_ = im.syncer.wait() // if it matters, Publish has asked
	return im.partial.close(published)
}
