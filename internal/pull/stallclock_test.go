package pull_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nodeseal/nodeseal/internal/pull"
)

// stallClock is a clock of pull.Options.AfterFunc that moves when a test says so.
type stallClock struct {
	sent, read atomic.Int64 // bytes of blobs

	mu    sync.Mutex
	armed map[*stallTimer]bool
}

type stallTimer struct {
	clock *stallClock
	f     func()
}

func (c *stallClock) afterFunc(_ time.Duration, f func()) pull.Timer {
	t := &stallTimer{c, f}
	t.set(true)
	return t
}

// came notes that n bytes were read.
func (c *stallClock) came(n int) { c.read.Add(int64(n)) }

// expire lets the time of all timers be over that run, and reports whether any did.
func (c *stallClock) expire() bool {
	c.mu.Lock()
	var over []func()
	for t := range c.armed {
		over = append(over, t.f)
	}
	clear(c.armed)
	c.mu.Unlock()
	for _, f := range over {
		f()
	}
	return len(over) > 0
}

func (t *stallTimer) set(armed bool) (was bool) {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	was = t.clock.armed[t]
	if armed {
		if t.clock.armed == nil {
			t.clock.armed = make(map[*stallTimer]bool)
		}
		t.clock.armed[t] = true
	} else {
		delete(t.clock.armed, t)
	}
	return was
}

// Reset implements pull.Timer.
func (t *stallTimer) Reset(time.Duration) bool { return t.set(true) }

// Stop implements pull.Timer.
func (t *stallTimer) Stop() bool { return t.set(false) }

type stallKey struct{}

// stallsOf is the clock of the registry that was asked.
func stallsOf(r *http.Request) *stallClock {
	return r.Context().Value(stallKey{}).(*stallClock)
}

// readerFunc is an io.Reader.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
