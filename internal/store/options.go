package store

import (
	"runtime"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/progress"
)

// ImportOptions change how a store is written, in either form. The zero value imports
// everything with the machine's processors.
type ImportOptions struct {
	// Want chooses the images to import; nil takes all.
	Want func(*bundle.Image) bool
	// Architecture chooses among the platforms of one reference, in Go's words;
	// "" is the machine's.
	Architecture string
	// Jobs is how many layers are read at once; 0 is one for each processor, at most
	// MaxDefaultJobs. Memory grows with it: about 16 MiB each.
	Jobs int
	// NoDevices refuses layers with device nodes other than whiteouts.
	NoDevices bool
	// Reuse are other stores, whose layers are taken if they have the same contents,
	// and extracted from the source if they are damaged. The store is the same to the
	// byte. What is taken is verified: a directory's layers one by one, an image by the
	// digest that was recorded beside it when its layers had been. They are not changed,
	// and may be sealed and in use. A directory takes by hard links, else reflinks, else
	// copies; an image shares blocks if the file system can, else it copies them.
	Reuse []string
	// MaxUsage is the largest part of the store's file system, in percent, that
	// may be in use afterwards: where kubelet begins to remove images. 0 is no
	// bound but the file system's own.
	MaxUsage int
	// Beside is how many bytes others write beside the store while it is made, and remove.
	Beside int64
	// SyncEvery is after how many bytes of finished layers a directory is synced, so
	// that they survive a power cut, and so that little is left to be written at the
	// end; 0 is 256 MiB. An image is synced once, at the end.
	SyncEvery int64
	// Progress receives the phases "plan" (images), "take" (bytes of layers of other
	// stores, of a directory), "count" (bytes of layer blobs whose length is not known, of a
	// directory), "import" (bytes of layer blobs), "hash" (bytes of an
	// image), "copy" (bytes of an image that is installed), "prove" (bytes of its layers) and
	// "check" (references). It may be nil.
	Progress progress.Func
}

// MaxDefaultJobs is the most Jobs that WithDefaults chooses.
const MaxDefaultJobs = 8

const defaultSyncEvery = 256 << 20

// WithDefaults returns o with values for what is zero.
func (o ImportOptions) WithDefaults() ImportOptions {
	if o.Jobs <= 0 {
		o.Jobs = min(runtime.GOMAXPROCS(0), MaxDefaultJobs)
	}
	if o.SyncEvery <= 0 {
		o.SyncEvery = defaultSyncEvery
	}
	if o.Architecture == "" {
		o.Architecture = runtime.GOARCH
	}
	return o
}

// Counts says what an import did.
type Counts struct {
	// Images and References count image records and their names.
	Images, References int
	// Layers counts layer records, Extracted the contents that were read from the
	// source, TakenOver those that an earlier run had finished, Taken those from other
	// stores, Linked the layers whose contents are hard links to another layer's (an
	// image counts none: there it is what every such layer is).
	Layers, Extracted, TakenOver, Taken, Linked int
	// Files counts the tar entries of all contents, Bytes the length of their tars.
	Files, Bytes int64
	// Originals counts the layers that are kept as a registry has them, OriginalBytes
	// their length.
	Originals     int
	OriginalBytes int64
	// Artifacts counts the OCI artifacts of the store, which are not among the Images.
	// UnreadableArtifacts are those of their names under which no node finds them.
	Artifacts           int
	UnreadableArtifacts []string
	// Squashed counts files whose owner the user namespace does not know.
	Squashed int64
	// Skipped are images of other platforms.
	Skipped []bundle.Image
}
