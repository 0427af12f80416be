package memtest

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// Hold runs f, and fails the test if f held more than most bytes at any moment, those of its
// stack among them. If f allocates no more than that in all, it is done, so fuzz targets may call
// it for each input. Else f runs once more, with little garbage, while the memory is looked at.
// What other goroutines allocate meanwhile counts, so tests that use it are not parallel.
func Hold(tb testing.TB, most int64, f func()) {
	tb.Helper()
	before := metric(stacks)
	took := Allocated(f)
	if took <= most && metric(stacks)-before <= most {
		return
	}
	if peak := peak(f); peak > most {
		tb.Errorf("%d KiB were held at once, at most %d are allowed", peak>>10, most>>10)
	}
}

const (
	// interval is how often the memory is looked at. To fill as much as a bound takes longer.
	interval = time.Millisecond
	// garbage is how much of it there may be, in percent of what is held.
	garbage = 5

	objects = "/memory/classes/heap/objects:bytes"
	stacks  = "/memory/classes/heap/stacks:bytes"
)

// peak returns how many bytes more than before were in use at the most while f ran.
func peak(f func()) (most int64) {
	defer debug.SetGCPercent(debug.SetGCPercent(garbage))
	before := settled()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			most = max(most, used()-before)
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
		}
	}()
	f()
	// On a busy machine nobody may have looked meanwhile. The stack is as large still.
	last := used() - before
	close(stop)
	<-stopped
	return max(most, last)
}

// settled returns used after the collector has taken what it can: it makes a stack that is
// not needed any more half as large, each time.
func settled() int64 {
	for now := used(); ; {
		runtime.GC()
		before := now
		if now = used(); now >= before {
			return now
		}
	}
}

// used returns how many bytes objects and stacks take.
func used() int64 { return metric(objects) + metric(stacks) }

// metric reads one of the runtime's.
func metric(name string) int64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}
