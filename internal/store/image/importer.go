package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/filemem"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"go.podman.io/storage/pkg/unshare"
)

// The phases of progress that package build does not have.
const (
	phaseCopy  = "copy"
	phaseProve = "prove"
	phaseHash  = "hash"
)

// importer is one import. It implements build.Writer.
type importer struct {
	src    store.Source
	opts   store.ImportOptions
	path   string
	plan   *store.Plan
	work   []*job // unique contents, in the order of the plan
	out    *output
	splits *chunkFile
	space  *filemem.Space // of index, trees and build
	trees  *treeMemory
	index  *index
	// entries is about what those of all tables take, in bytes.
	entries int64
	build   *erofs.Builder
	tree    *skeleton
	donors  []*donor
	// originals are kept besides the contents.
	originals []*original
	cloned    []clone // blocks that the image shares with donors
	facts     Facts
}

// job is one content to decode.
type job struct {
	*build.Job
	table *chunks      // where the bundle has no file table
	diffs []erofs.Node // the diff directories of the layers
	split split
	tree  *tree             // while it is put into the image
	attrs map[string]string // of the root directory
	take  take
	left  bool // donors are damaged: it comes from the bundle
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
	im := &importer{src: src, opts: opts.WithDefaults(), path: abs}
	counts, err := build.Run(ctx, src, abs, im.open, im.opts)
	if err != nil {
		return nil, err
	}
	return &Result{Path: abs, Counts: *counts, Facts: im.facts}, nil
}

// open opens the image in the making, and the donors.
func (im *importer) open(plan *store.Plan) (_ build.Writer, err error) {
	if im.out, err = openOutput(im.path); err != nil {
		return nil, err
	}
	im.plan = plan
	im.openDonors()
	return im, nil
}

// Attempt implements build.Writer: it has the image made, and proves those that layers
// are taken from. If one of them turns out to be damaged, it begins again without that.
func (im *importer) Attempt(ctx context.Context, make func(context.Context) error) error {
	for {
		err := im.proving(ctx, make)
		var damaged *donorError
		if ctx.Err() != nil || !errors.As(err, &damaged) {
			return err
		}
		im.dropDonor(damaged)
	}
}

// Begin implements build.Writer: all that is written and counted is empty, and each
// content of the file tables gets its place.
func (im *importer) Begin(ctx context.Context, jobs []*build.Job) (store.Need, error) {
	if err := im.dropTables(); err != nil {
		return store.Need{}, err
	}
	if err := im.out.clear(); err != nil {
		return store.Need{}, err
	}
	im.space = filemem.New(im.out.tables)
	im.trees = &treeMemory{space: im.space}
	im.splits, im.index = &chunkFile{f: im.out.splits, room: im.room}, newIndex(im.space)
	im.work, im.cloned, im.entries, im.facts = nil, nil, 0, Facts{}
	for _, j := range jobs {
		im.work = append(im.work, &job{Job: j})
	}
	if err := im.tabulateAll(ctx, jobs); err != nil {
		return store.Need{}, err
	}
	if err := im.makePlaces(ctx); err != nil {
		return store.Need{}, err
	}
	return store.Need{Bytes: im.index.bytes + im.entries + im.originalBytes()}, nil // the least that it will take
}

// room compares what will be written with what is free.
func (im *importer) room(size int64) error {
	return build.Room(im.path, store.Need{Bytes: size}, im.opts.MaxUsage)
}

// Publish implements build.Writer.
func (im *importer) Publish(context.Context) error { return im.out.publish(im.facts.Digest) }

// Close implements build.Writer.
func (im *importer) Close(published bool) error {
	im.closeDonors()
	return errors.Join(im.dropTables(), im.out.close(published))
}

// dropTables gives the memory of the index and of the tree back. Nothing uses them then.
func (im *importer) dropTables() error {
	im.build, im.index, im.tree, im.trees = nil, nil, nil, nil
	if err := im.space.Close(); err != nil {
		return fmt.Errorf("closing the tables of files: %w", err)
	}
	return nil
}
