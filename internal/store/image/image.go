package image

import (
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
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

// MemoryLimit is the limit for the garbage collector (runtime/debug.SetMemoryLimit)
// for an import by up to 8 jobs; each job more has its own share. An import of a million
// files by 2 jobs takes 232 MiB with it (docs/performance.md). It does not depend on the number of files: what is known of each is in a file,
// of which filemem.Budget stays in memory besides.
func MemoryLimit(jobs int) int64 {
	const job, program = 16 << 20, 24 << 20
	return program + job*int64(max(jobs, store.MaxDefaultJobs))
}

// Result says what an import did.
type Result struct {
	// Path is the image's, absolute.
	Path string
	store.Counts
	Facts
}

// Facts are what an import tells of an image.
type Facts struct {
	// Digest is that of the image file: the same for the same bundle everywhere.
	Digest digest.Digest
	// Size is the image's in bytes, Inodes the number of its files.
	Size, Inodes int64
	// Reused are the bytes of the image that are blocks of another image.
	Reused int64
	// Contents are the different contents of regular files that are not empty.
	Contents int64
}
