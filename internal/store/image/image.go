package image

import (
	"runtime"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/opencontainers/go-digest"
)

const (
	// Suffix ends the name of the image of the store in a directory: DIR.erofs is
	// mounted at DIR.
	Suffix = ".erofs"
	// DigestSuffix ends the name of the file beside an image that holds its SHA-256,
	// as sha256sum writes and checks it.
	DigestSuffix = seal.DigestSuffix
)

// Options change how Import works. The zero value imports everything with the
// machine's processors.
type Options struct {
	// Want chooses the images to import; nil takes all.
	Want func(*bundle.Image) bool
	// Architecture chooses among the platforms of one reference, in Go's words;
	// "" is the machine's.
	Architecture string
	// Jobs is how many layers are decoded at once; 0 is one for each processor, at
	// most 8. Memory grows with it: about 8 MiB each, and what describes a layer's
	// files.
	Jobs int
	// NoDevices refuses layers with device nodes other than whiteouts.
	NoDevices bool
	// Reuse are other stores, directories or images, whose layers are taken where they
	// have the same contents: blocks of an image are shared where the file system can,
	// else copied. Layers of a directory are verified as those that are decoded, each
	// by its diff ID; an image has to have the digest that was recorded beside it when
	// its layers had been. What is damaged is decoded from the source: a layer of
	// a directory, all of an image. The image is the same to the byte.
	Reuse []string
	// MaxUsage is the largest part of the image's file system, in percent, that may
	// be in use afterwards: where kubelet begins to remove images. 0 is no bound but
	// the file system's own.
	MaxUsage int
	// Progress receives the phases "plan" (images), "import" (bytes of layer
	// blobs), "hash" (bytes of the image) and "check" (references); of Install "copy"
	// (bytes of the image) and "check". It may be nil.
	Progress progress.Func

	// step is called before each step of an import; tests make it fail.
	step func(name string) error
}

const maxDefaultJobs = 8

// MemoryLimit is the limit for the garbage collector (runtime/debug.SetMemoryLimit)
// with which an import of 2,000,000 files by up to 8 jobs stays below 512 MiB; each
// job more has its own share. The least that so many files need is more than an import into
// a directory needs: what describes them waits for the end.
func MemoryLimit(jobs int) int64 {
	const job, program = 16 << 20, 272 << 20
	return program + job*int64(max(jobs, maxDefaultJobs))
}

func (o Options) withDefaults() Options {
	if o.Jobs <= 0 {
		o.Jobs = min(runtime.GOMAXPROCS(0), maxDefaultJobs)
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
	// Path is the image's, absolute.
	Path string
	// Digest is that of the image file: the same for the same bundle everywhere.
	Digest digest.Digest
	// Size is the image's in bytes, Inodes the number of its files.
	Size, Inodes int64
	// Images and References count image records and their names.
	Images, References int
	// Layers counts layer records, Decoded the contents of layers that are
	// different.
	Layers, Decoded int
	// Taken are those of Decoded that came from other stores, Reused the bytes of the
	// image that are blocks of another image.
	Taken  int
	Reused int64
	// Files counts the tar entries of all contents, Bytes the length of their tars,
	// Contents the different contents of regular files that are not empty.
	Files, Bytes, Contents int64
	// Skipped are images of other platforms.
	Skipped []bundle.Image
}
