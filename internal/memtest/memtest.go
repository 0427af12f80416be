// Package memtest measures what code allocates, for tests that hold parsers to a bound.
package memtest

import "runtime"

// Allocated returns how many bytes were allocated in all while f ran, freed ones too: at least
// what f held at any moment. Nothing else may run meanwhile, so tests that use it are not parallel.
func Allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}
