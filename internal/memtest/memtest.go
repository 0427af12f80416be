// Package memtest measures what code allocates, for tests that hold parsers to a bound.
package memtest

import (
	"bytes"
	"runtime"
)

// Repeat returns before, each as often as it has place in size bytes, and after: a document that
// is long and says nothing.
func Repeat(size int, before, each, after string) []byte {
	n := max(0, (size-len(before)-len(after))/len(each))
	return append(append([]byte(before), bytes.Repeat([]byte(each), n)...), after...)
}

// Allocated returns how many bytes were allocated in all while f ran, freed ones too: at least
// what f held at any moment. Nothing else may run meanwhile, so tests that use it are not parallel.
func Allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}
