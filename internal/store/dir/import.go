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
	"runtime"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/store"
)

// Options change how Import works. The zero value imports everything with the
// machine's processors.
type Options struct {
	// Want chooses the images to import; nil takes all.
	Want func(*bundle.Image) bool
	// Architecture chooses among the platforms of one reference, in Go's words;
	// "" is the machine's.
	Architecture string
	// Jobs is how many layers are extracted at once; 0 is one for each
	// processor, at most 8. Memory grows with it: about 16 MiB each.
	Jobs int
	// NoDevices refuses layers with device nodes other than whiteouts.
	NoDevices bool
	// SyncEvery is after how many bytes of finished layers they are synced, so
	// that they survive a power cut, and so that little is left to be written at the
	// end; 0 is 256 MiB.
	SyncEvery int64
	// Reuse are other stores, whose layers are taken where they have the same
	// contents: by hard links, else reflinks, else copies. What is taken is
	// verified like everything else, and extracted from the source where it is
	// damaged. They are not changed, and may be sealed and in use.
	Reuse []string
	// MaxUsage is the largest part of the store's file system, in percent, that
	// may be in use afterwards: where kubelet begins to remove images. 0 is no
	// bound but the file system's own.
	MaxUsage int
	// Progress receives the phases "plan" (images), "take" (bytes of layers of
	// other stores), "import" (bytes of layer blobs) and "check" (references). It
	// may be nil.
	Progress progress.Func

	// step is called before each step of an import; tests make it fail.
	step func(name string) error
}

const (
	maxDefaultJobs   = 8
	defaultSyncEvery = 256 << 20
)

func (o Options) withDefaults() Options {
	if o.Jobs <= 0 {
		o.Jobs = min(runtime.GOMAXPROCS(0), maxDefaultJobs)
	}
	if o.SyncEvery <= 0 {
		o.SyncEvery = defaultSyncEvery
	}
	if o.Architecture == "" {
		o.Architecture = runtime.GOARCH
	}
	if o.step == nil {
		o.step = func(string) error { return nil }
	}
	return o
}

// Result says what an import did.
type Result struct {
	// Path is the store's, absolute.
	Path string
	// Images and References count image records and their names.
	Images, References int
	// Layers counts layer records, Extracted the contents that were unpacked,
	// TakenOver those that an earlier run had finished, Taken those from other
	// stores, Linked the layers whose contents are hard links to another layer's.
	Layers, Extracted, TakenOver, Taken, Linked int
	// Files counts the tar entries of all contents, Bytes the length of their tars.
	Files, Bytes int64
	// Squashed counts files whose owner the user namespace does not know.
	Squashed int64
	// Skipped are images of other platforms.
	Skipped []bundle.Image
}

// Import writes the store of the images of src into the directory target, which
// must not exist. It returns when the store has been checked, synced and
// renamed to target; before that nothing has that name. Two imports to the same
// target exclude each other.
//
// It needs the rights of root, or of root in a user namespace (then with fewer
// kinds of files, see extract.Options.UserNamespace).
//
// Errors wrap store.ErrExists where target exists, store.ErrBusy where another
// process imports to it, store.ErrPrecondition where the machine lacks
// something, store.ErrDamaged where the source is damaged or hostile; those
// about an image or its content are *store.Error. When ctx ends, its error is
// returned. Finished layers are kept for the next run.
func Import(ctx context.Context, src store.Source, target string, opts Options) (*Result, error) {
	im, err := newImporter(src, target, opts.withDefaults())
	if err != nil {
		return nil, err
	}
	return im.run(ctx)
}
