// Package mirror turns a list of references into a bundle: it resolves every
// reference, fetches each manifest, configuration and layer once, verifies the
// chain from the manifest's digest to the diff IDs, and assembles what it kept
// in its work directory into one file.
package mirror

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
	"github.com/nodeseal/nodeseal/internal/mirror/workdir"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/pull/policy"
)

// The phases that Run reports progress of.
const (
	PhaseResolve  = "resolve"
	PhaseAttach   = "attachments"
	PhaseDownload = "download"
	PhaseDeltas   = "deltas"
	PhaseWrite    = "write"
)

// Source is where manifests and blobs come from; *pull.Client is one. Its
// methods are called at the same time. Their contracts are pull.Client's.
type Source interface {
	Manifest(ctx context.Context, ref string) (pull.Manifest, error)
	Blob(ctx context.Context, ref string, d digest.Digest, size, offset int64) (io.ReadCloser, error)
	// Reject says that the bytes that Blob gave for d were others.
	Reject(d digest.Digest)
}

// PartSource is a Source that may lack the registry's bytes of a layer, as a node's store
// does.
type PartSource interface {
	Source
	// HasBlob reports whether Blob can give d, or a registry that it asks.
	HasBlob(ctx context.Context, d digest.Digest) bool
}

// PlainSource is a Source that may have layers only unpacked, as a node's store
// has them.
type PlainSource interface {
	Source
	// PlainLayer returns the plain tar with the given diff ID, and false where
	// the source has none. The caller hashes it and closes it.
	PlainLayer(ctx context.Context, diffID digest.Digest) (io.ReadCloser, bool, error)
}

// Options are the options of Run.
type Options struct {
	// Output is the path of the bundle. It is replaced.
	Output string
	// Split, where above 0, writes the bundle in parts of so many bytes.
	Split int64
	// Work is the work directory; it is made where it is missing, and kept.
	Work string
	// Layers is the form of the bundle's layers; the zero value is Expanded.
	Layers bundle.LayerForm
	// Keep says of which images the layers are kept as the registry has them, for
	// nodes to keep; the zero value: of operating systems.
	Keep imagelist.Keep
	// Level is the zstd level, 1 to seekable.MaxLevel; 0 is seekable.DefaultLevel,
	// and 1 where the layers are original: most are compressed already.
	Level int
	// Jobs is how many layers are in the works at once; 0 is 8, or the number
	// of processors where that is more, up to 16. How many of them one registry
	// is asked for is the Source's to bound.
	Jobs int
	// Encoders is how many frames are encoded at once; 0 is the number of
	// processors, up to 8: each takes some 20 MiB.
	Encoders int
	// Platforms are the instances of manifest lists to keep, as os/arch or
	// os/arch/variant, where the entry of the list does not say; none is linux/amd64.
	Platforms []string
	// KeepGoing bundles the rest when images fail.
	KeepGoing bool
	// Planned is told, before the first layer is moved, what is going to be done;
	// it may be nil.
	Planned func(*plan.Plan)
	// NodeDisk is the size of a node's disk in bytes, 0 where it is not known. A run ends
	// before it moves a layer, with an error that wraps diskbudget.ErrTooSmall, if two
	// slots with the images would not fit.
	NodeDisk int64
	// Release is what the inventory says about the release; it may be nil.
	Release *bundle.Release
	// Since, where set, is an earlier bundle: layers that it has are left out,
	// and it is named as the base. It must have layers of the same form, else the
	// error is a *FormError.
	Since *Since
	// Attachments is where signatures and referrers are found; nil leaves all
	// attachments out.
	Attachments AttachmentSource
	// Signatures are release signatures: those of images of the list are attached.
	Signatures []imagelist.Signature
	// Policy, where set, decides which images may be bundled, by their signatures;
	// Attachments must be set then. The error of an image that it does not let run
	// wraps policy.ErrRefused.
	Policy *policy.Policy
	// Progress is told what happens.
	Progress progress.Func
	// Log gets details; nil is silent.
	Log *slog.Logger
}

var (
	// ErrNoSpace is wrapped when there is too little room for the run; nothing
	// was moved then.
	ErrNoSpace = plan.ErrNoSpace
)

const (
	defaultJobs     = 8
	mostJobs        = 16
	mostEncoders    = 8
	defaultPlatform = "linux/amd64"
)

func (o Options) withDefaults() Options {
	if o.Jobs <= 0 {
		o.Jobs = min(max(defaultJobs, runtime.GOMAXPROCS(0)), mostJobs)
	}
	if o.Encoders <= 0 {
		o.Encoders = min(runtime.GOMAXPROCS(0), mostEncoders)
	}
	if o.Layers == "" {
		o.Layers = bundle.Expanded
	}
	if o.Level <= 0 {
		o.Level = seekable.DefaultLevel
		if o.Layers == bundle.Original {
			o.Level = 1
		}
	}
	if len(o.Platforms) == 0 {
		o.Platforms = []string{defaultPlatform}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// ImageError says which image could not be mirrored, and why.
type ImageError struct {
	Ref string
	Err error
}

// Error implements error.
func (e *ImageError) Error() string { return fmt.Sprintf("image %s: %v", e.Ref, e.Err) }

// Unwrap returns the cause.
func (e *ImageError) Unwrap() error { return e.Err }

// Result is what Run made.
type Result struct {
	Inventory *bundle.Inventory
	// Size is the bundle's length in bytes, SHA256 its digest.
	Size   int64
	SHA256 digest.Digest
	// Downloaded is how many bytes of layers came from the source in this run;
	// Reused those that the work directory had.
	Downloaded, Reused int64
	// Attached is what was found attached to the images.
	Attached Attached
	// Failed are the images that are not in the bundle, sorted by reference
	// (with KeepGoing only).
	Failed []*ImageError
}

// Run mirrors every entry of list from src into the bundle o.Output. Without
// KeepGoing the first image that fails ends it, with an *ImageError. The output
// has its name only when it is whole and synced. Where there is no room for it,
// ErrNoSpace is returned before any layer is moved. Two runs cannot share a work
// directory (filelock.ErrBusy); one that was interrupted goes on where it was.
func Run(ctx context.Context, list *imagelist.List, src Source, o Options) (*Result, error) {
	r, err := newRun(src, o, workdir.Open)
	if err != nil {
		return nil, err
	}
	defer r.work.Close()
	images, err := r.known(ctx, list)
	if err != nil {
		return nil, err
	}
	if images, err = r.preflight(ctx, images); err != nil {
		return nil, err
	}
	if err := r.fetchLayers(ctx, images); err != nil {
		return nil, err
	}
	return r.assemble(ctx, images)
}

// known resolves the list and finds what is attached to its images: after that
// everything is known but the contents of layers.
func (r *run) known(ctx context.Context, list *imagelist.List) ([]bundle.Image, error) {
	images, err := r.resolveAll(ctx, list)
	if err == nil {
		images, err = r.keep(ctx, images)
	}
	if err != nil {
		return nil, err
	}
	r.sayArtifacts(images)
	return r.attachAll(ctx, images)
}

// run is one call of Run.
type run struct {
	o        Options
	src      Source
	work     *workdir.Dir
	enc      *seekable.Encoder
	since    *since
	slots    chan struct{} // one for each of Options.Jobs
	failures failures
	// raw are the layers that only artifacts have: nothing is known of what is in them.
	raw map[digest.Digest]bool
	// trueSizes are those that the source says of layers which did not fit.
	trueSizes map[digest.Digest]int64
	fetched   counter
	attached  Attached
}
