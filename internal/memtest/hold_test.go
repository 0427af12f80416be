package memtest_test

import (
	"runtime/debug"
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// failures is a test that notes whether it failed.
type failures struct {
	testing.TB
	failed bool
}

func (f *failures) Helper()               {}
func (f *failures) Errorf(string, ...any) { f.failed = true }

// sink keeps what is allocated from the stack.
type sink struct{ data []byte }

func TestHold(t *testing.T) {
	const most = 16 << 20
	s := &sink{}
	fill := func(n int) {
		s.data = make([]byte, n)
		for i := range s.data {
			s.data[i] = 1
		}
	}
	for name, c := range map[string]struct {
		f    func()
		want bool
	}{
		"little":         {func() { fill(8 << 20) }, false},
		"much":           {func() { fill(96 << 20) }, true},
		"much, at times": {func() { fill(96 << 20); s.data = nil }, true},
		"garbage": {func() {
			for range 400 {
				fill(256 << 10)
			}
		}, false},
		"stack": {func() { deep(60_000) }, true},
	} {
		// Stacks of goroutines that have ended are given out again, which is no growth.
		debug.FreeOSMemory()
		f := &failures{TB: t}
		memtest.Hold(f, most, c.f)
		if s.data = nil; f.failed != c.want {
			t.Errorf("%s: failed %t", name, f.failed)
		}
	}
}

func deep(n int) int {
	var frame [64]int
	frame[n%64] = n
	if n == 0 {
		return 0
	}
	return deep(n-1) + frame[n%64]
}
