package install

import (
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
)

// MemoryLimit is the limit for the garbage collector (runtime/debug.SetMemoryLimit) with
// which an import by jobs layers in parallel stays below its bound: 256 MiB for a
// directory and up to 8 jobs, and image.MemoryLimit's for an image. Each job more
// has its own share.
func MemoryLimit(asImage bool, jobs int) int64 {
	if asImage {
		return image.MemoryLimit(jobs)
	}
	const job, program = 16 << 20, 48 << 20
	return program + job*int64(max(jobs, store.MaxDefaultJobs))
}
