package answer

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// maxRebuilds is how many layers are rebuilt at once.
	maxRebuilds = 4
	// maxLayers is how many requests for layers may be under way, most of them waiting:
	// it leaves connections for manifests. maxLayersOfClient of them are one client's.
	maxLayers         = 64
	maxLayersOfClient = 48
	// patience is how long a client may take for each piece of a layer, and spare how
	// long it may take altogether beyond a second for each MiB, while others wait.
	patience = 30 * time.Second
	spare    = 10 * time.Second
)

// turns are the turns at rebuilding layers. It is safe for use by many goroutines.
type turns struct {
	running chan struct{}

	mu      sync.Mutex
	all     int
	clients map[string]int
}

func newTurns() *turns {
	return &turns{running: make(chan struct{}, maxRebuilds), clients: make(map[string]int)}
}

// wait waits for a turn; done ends it. The error is the answer for a client if too
// many are waiting already.
func (t *turns) wait(ctx context.Context, remote string) (done func(), err error) {
	tooMany := &apiError{http.StatusTooManyRequests, codeTooMany, "too many layers are being read: ask again"}
	client, _, splitErr := net.SplitHostPort(remote)
	if splitErr != nil {
		client = remote
	}
	if !t.enter(client) {
		return nil, tooMany
	}
	select {
	case t.running <- struct{}{}:
		return func() { <-t.running; t.leave(client) }, nil
	case <-ctx.Done():
		t.leave(client)
		return nil, tooMany
	}
}

func (t *turns) enter(client string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all >= maxLayers || t.clients[client] >= maxLayersOfClient {
		return false
	}
	t.all++
	t.clients[client]++
	return true
}

func (t *turns) leave(client string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all--
	if t.clients[client]--; t.clients[client] == 0 {
		delete(t.clients, client)
	}
}

// crowded reports whether requests wait for a turn.
func (t *turns) crowded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all > maxRebuilds
}

// patient gives the client time for every piece that it takes, and less while others
// wait for their turn.
type patient struct {
	w       io.Writer
	control *http.ResponseController
	now     func() time.Time
	others  func() bool
	// written is in bytes, blocked how long the client has taken for them.
	written int64
	blocked time.Duration
}

// Write implements io.Writer.
func (p *patient) Write(data []byte) (int, error) {
	start := p.now()
	if err := p.control.SetWriteDeadline(start.Add(p.time(len(data)))); err != nil {
		return 0, err
	}
	n, err := p.w.Write(data)
	p.written += int64(n)
	p.blocked += p.now().Sub(start)
	return n, err
}

// time returns how long the next n bytes may take.
func (p *patient) time(n int) time.Duration {
	if !p.others() {
		return patience
	}
	left := spare + time.Duration((p.written+int64(n))>>10)*time.Second/1024 - p.blocked
	return min(patience, max(0, left))
}
