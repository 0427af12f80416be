// Package dir writes an additional image store into a directory: it is the
// build.Writer of that form, which extracts each layer straight from the source.
//
// All of the work is done in a hidden directory beside the target,
// .NAME.partial. What a run that was killed left there is taken over by the
// next one as far as it is proven whole (see records.go).
package dir

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"go.podman.io/storage/pkg/unshare"
)

// Result says what an import did.
type Result struct {
	// Path is the store's, absolute.
	Path string
	store.Counts
}

// Import writes the store of the images of src into the directory target, which
// must not exist. It returns when the store has been checked, synced and
// renamed to target; before that nothing has that name. Two imports to the same
// target exclude each other.
//
// It needs the rights of root, or of root in a user namespace (then with fewer
// kinds of files, see extract.Options.UserNamespace).
//
// Errors wrap store.ErrExists where target exists, filelock.ErrBusy where another
// process imports to it, store.ErrPrecondition where the machine lacks
// something, store.ErrDamaged where the source is damaged or hostile; those
// about an image or its content are *store.Error. When ctx ends, its error is
// returned. Finished layers are kept for the next run.
func Import(ctx context.Context, src store.Source, target string, opts store.ImportOptions) (*Result, error) {
	return importStepwise(ctx, src, target, opts, func(string) error { return nil })
}

// importStepwise is Import that calls step before each of its steps, and ends with its
// error; tests do.
func importStepwise(ctx context.Context, src store.Source, target string, opts store.ImportOptions, step func(name string) error) (*Result, error) {
	abs, err := filepath.Abs(target)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", target, err)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: importing needs root, or a user namespace in which this user is root", store.ErrPrecondition)
	}
	im := &importer{
		src: src, opts: opts.WithDefaults(), step: step, target: abs,
		userNS: unshare.IsRootless(),
		label:  newLabeller(),
	}
	counts, err := build.RunStepwise(ctx, src, abs, im.open, im.opts, step)
	if err != nil {
		return nil, err
	}
	counts.Linked = im.linked
	return &Result{Path: abs, Counts: *counts}, nil
}
