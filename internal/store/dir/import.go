// Package dir writes an additional image store into a directory: it plans,
// extracts each layer once and in parallel, straight from the source, writes
// the metadata, checks the store with the library and only then gives it its
// name.
//
// All of the work is done in a hidden directory beside the target,
// .NAME.partial. What a run that was killed left there is taken over by the
// next one as far as it is proven whole (see records.go).
package dir

import (
	"context"

	"github.com/nodeseal/nodeseal/internal/store"
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
	im, err := newImporter(src, target, opts.WithDefaults())
	if err != nil {
		return nil, err
	}
	im.step = step
	return im.run(ctx)
}
