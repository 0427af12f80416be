package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/filemem"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/opencontainers/go-digest"
	"go.podman.io/storage/pkg/unshare"
)

// The phases of progress.
const (
	phaseCopy   = "copy"
	phaseProve  = "prove"
	phaseImport = "import"
	phaseHash   = "hash"
	phaseCheck  = "check"
)

// importer is one import.
type importer struct {
	src    store.Source
	opts   store.ImportOptions
	plan   *store.Plan
	work   []*job // unique contents, in the order of the plan
	out    *output
	splits *chunkFile
	space  *filemem.Space // of index and build
	index  *index
	// entries is about what those of all tables take, in bytes.
	entries int64
	build   *erofs.Builder
	tree    *skeleton
	digest  digest.Digest
	donors  []*donor
	cloned  []clone // blocks that the image shares with donors
	result  Result
}

// job is one content to decode, and the layers that have it.
type job struct {
	layers []*store.Layer
	size   int64        // of the blob
	table  *chunks      // where the bundle has no file table
	diffs  []erofs.Node // the diff directories of the layers
	split  split
	root   *node // the root directory
	take   take
	taken  bool // from a donor
	left   bool // donors are damaged: it comes from the bundle
	done   *extract.Result
}

// Import writes the store of the images of src into the image path, which must not
// exist, and its digest beside it. It returns when the image has been mounted and
// checked by the library, synced and renamed to path; before that nothing has that
// name, and an error leaves nothing. Two imports to the same path exclude each other.
//
// It needs the rights of root outside of a user namespace, and a kernel that mounts
// EROFS: else the error is a *KernelError, before any work.
//
// Errors wrap store.ErrExists where path exists, filelock.ErrBusy where another process
// imports to it, store.ErrPrecondition where the machine lacks something,
// store.ErrDamaged where the source is damaged or hostile; those about an image or
// its content are *store.Error. When ctx ends, its error is returned.
func Import(ctx context.Context, src store.Source, path string, opts store.ImportOptions) (*Result, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", path, err)
	}
	if os.Geteuid() != 0 || unshare.IsRootless() {
		return nil, fmt.Errorf("%w: a store image needs root, outside of a user namespace", store.ErrPrecondition)
	}
	im := &importer{src: src, opts: opts.WithDefaults(), result: Result{Path: abs}}
	return im.run(ctx)
}

// run does an import.
func (im *importer) run(ctx context.Context) (result *Result, err error) {
	if _, err := os.Lstat(im.result.Path); err == nil {
		return nil, fmt.Errorf("%w: %s", store.ErrExists, im.result.Path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for %s: %w", im.result.Path, err)
	}
	if err := im.makePlan(ctx); err != nil {
		return nil, err
	}
	if im.out, err = openOutput(im.result.Path); err != nil {
		return nil, err
	}
	im.openDonors()
	defer im.closeDonors()
	published := false
	defer func() { err = errors.Join(err, im.dropTables(), im.out.close(published)) }()
	if err := im.do(ctx, step{"probe", im.probe}); err != nil {
		return nil, err
	}
	if err := im.make(ctx); err != nil {
		return nil, err
	}
	err = im.do(ctx, step{"publish", func(context.Context) error { return im.out.publish(im.digest) }})
	if err != nil {
		return nil, err
	}
	published = true
	im.result.Digest = im.digest
	return &im.result, nil
}

// make makes the image, and proves it and those that layers are taken from. Where one of
// them turns out to be damaged, it begins anew without that.
func (im *importer) make(ctx context.Context) error {
	for {
		if err := im.do(ctx, step{"begin", im.begin}); err != nil {
			return err
		}
		err := im.proving(ctx, func(ctx context.Context) error {
			return im.do(ctx,
				step{"tabulate", im.tabulateAll},
				step{"places", im.makePlaces},
				step{"need", im.checkNeed},
				step{"decode", im.decodeAll},
				step{"clone", im.cloneAll},
				step{"metadata", im.writeMetadata},
				step{"finish", im.finish},
				step{"prove", im.prove},
			)
		})
		var damaged *donorError
		if ctx.Err() != nil || !errors.As(err, &damaged) {
			return err
		}
		im.dropDonor(damaged)
	}
}

// step is a part of an import.
type step struct {
	name string
	do   func(context.Context) error
}

// do does steps, one after another.
func (im *importer) do(ctx context.Context, steps ...step) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.do(ctx); err != nil {
			return store.Explain(ctx, err)
		}
	}
	return nil
}

// begin makes all that is written and counted empty.
func (im *importer) begin(context.Context) error {
	if err := im.dropTables(); err != nil {
		return err
	}
	if err := im.out.clear(); err != nil {
		return err
	}
	im.space = filemem.New(im.out.tables)
	im.splits, im.index = &chunkFile{f: im.out.splits, room: im.room}, newIndex(im.space)
	im.work, im.cloned, im.entries = nil, nil, 0
	for _, layers := range im.plan.Contents() {
		im.work = append(im.work, &job{layers: layers, size: layers[0].BlobSize})
	}
	im.result = Result{Path: im.result.Path, Counts: store.Counts{
		Images: len(im.plan.Images), References: len(im.plan.References),
		Layers: len(im.plan.Layers), Extracted: len(im.work), Skipped: im.plan.Skipped,
	}}
	return nil
}

// dropTables gives the memory of the index and of the tree back. Nothing uses them then.
func (im *importer) dropTables() error {
	im.build, im.index, im.tree = nil, nil, nil
	if err := im.space.Close(); err != nil {
		return fmt.Errorf("closing the tables of files: %w", err)
	}
	return nil
}

// makePlan verifies manifests and configurations.
func (im *importer) makePlan(ctx context.Context) (err error) {
	im.plan, err = store.NewPlan(ctx, im.src, store.Selection{
		Want: im.opts.Want, Architecture: im.opts.Architecture, Progress: im.opts.Progress,
	})
	if err != nil {
		return fmt.Errorf("planning the store: %w", err)
	}
	return nil
}
