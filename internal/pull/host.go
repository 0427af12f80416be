package pull

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// unreachableFor is how long a host that could not be reached is asked only
// after the others.
const unreachableFor = time.Minute

// host is what is shared by all requests to one registry host: the bound on
// them, a pause that the registry asked for, and whether it could be reached.
type host struct {
	slots chan struct{}
	// noReferrers: it has no referrers API.
	noReferrers atomic.Bool

	mu    sync.Mutex
	pause chan struct{} // closed at the end of the pause; nil without one
	down  *time.Timer   // runs while the host counts as not reachable; nil else
}

func newHost(bound int) *host {
	return &host{slots: make(chan struct{}, bound)}
}

// acquire waits for a slot, and for the end of a pause. Who gets nil must
// release.
func (h *host) acquire(ctx context.Context) error {
	for {
		select {
		case h.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		h.mu.Lock()
		pause := h.pause
		h.mu.Unlock()
		if pause == nil {
			return nil
		}
		h.release()
		select {
		case <-pause:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *host) release() { <-h.slots }

// wait sleeps for d, and makes everybody else who wants the host wait too. It
// must not be called with a slot held.
func (h *host) wait(ctx context.Context, d time.Duration, sleep func(context.Context, time.Duration) error) error {
	h.mu.Lock()
	if h.pause == nil {
		pause := make(chan struct{})
		h.pause = pause
		defer func() {
			h.mu.Lock()
			h.pause = nil
			h.mu.Unlock()
			close(pause)
		}()
	}
	h.mu.Unlock()
	return sleep(ctx, d)
}

// reached records whether a connection to the host could be made.
func (h *host) reached(ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down != nil {
		h.down.Stop()
		h.down = nil
	}
	if !ok {
		h.down = time.NewTimer(unreachableFor)
	}
}

// isDown reports whether the host could not be reached a short while ago.
func (h *host) isDown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down == nil {
		return false
	}
	select {
	case <-h.down.C:
		h.down = nil
		return false
	default:
		return true
	}
}
