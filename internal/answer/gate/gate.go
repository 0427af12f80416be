// Package gate decides which connections a server serves, so that no number of
// clients that are idle, slow or many keeps the others out, and none of those that
// have to wait is turned away.
//
// A connection that comes waits its turn: in the gate, and beyond what it holds in
// the queue of the kernel. The turn goes to a connection that has sent something, of
// the client that is being served least. While others wait, a connection that has no
// request, or that takes none of its answer, is closed, and every answer asks its
// client to close the connection.
//
// A client is an IP address (of IPv6, its /64).
package gate

import (
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// Limits of a gate. All must be set.
type Limits struct {
	// Served is how many connections are served at once, Client how many of them are one
	// client's, and Waiting how many more are taken from the kernel.
	Served, Client, Waiting int
	// Tick is the gate's unit of time. It counts only while connections wait.
	Tick time.Duration
	// Grace is for how many ticks a connection may have no request while others wait,
	// Stall for how many it may take nothing of its answer.
	Grace, Stall int64
}

// Gate is a net.Listener in front of others. It is safe for use by many goroutines.
type Gate struct {
	limits    Limits
	listeners []net.Listener

	mu      sync.Mutex
	changed *sync.Cond
	closed  bool
	failed  []error // of the listeners, for Accept
	waiting []*conn // in the order in which they came
	served  map[*conn]bool
	clients map[string]int // how many of served each client has
	ticks   int64
	ticking bool
}

// New returns a gate in front of the listeners, which are now its own. Close must
// be called.
func New(limits Limits, listeners ...net.Listener) *Gate {
	g := &Gate{limits: limits, listeners: listeners, served: make(map[*conn]bool), clients: make(map[string]int)}
	g.changed = sync.NewCond(&g.mu)
	for _, l := range listeners {
		go g.take(l)
	}
	return g
}

// take takes the connections of l until the gate is closed.
func (g *Gate) take(l net.Listener) {
	for g.room() {
		c, err := l.Accept()
		if err == nil {
			g.admit(c)
		} else if !g.fail(err) {
			return
		}
	}
}

// room waits until one more connection may wait; false says that the gate is closed.
func (g *Gate) room() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.waiting) >= g.limits.Waiting && !g.closed {
		g.changed.Wait()
	}
	return !g.closed
}

func (g *Gate) admit(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		c.Close()
		return
	}
	held := &conn{Conn: c, gate: g, client: client(c)}
	held.since.Store(g.ticks)
	g.waiting = append(g.waiting, held)
	g.changed.Broadcast()
}

// fail has Accept return err, and waits until it has: a server that is told of too
// many open files waits before it asks again. It reports whether l may be asked again.
func (g *Gate) fail(err error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failed = append(g.failed, err)
	g.changed.Broadcast()
	for len(g.failed) > 0 && !g.closed {
		g.changed.Wait()
	}
	return !g.closed
}

// Accept implements net.Listener: it returns the connection whose turn it is.
func (g *Gate) Accept() (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		if g.closed {
			return nil, net.ErrClosed
		}
		if len(g.failed) > 0 {
			err := g.failed[0]
			g.failed = g.failed[1:]
			g.changed.Broadcast()
			return nil, err
		}
		if c := g.next(); c != nil {
			g.served[c] = true
			g.clients[c.client]++
			c.since.Store(g.ticks)
			g.changed.Broadcast()
			return c, nil
		}
		g.tickWhileWaiting()
		g.changed.Wait()
	}
}

// next removes from those that wait the connection whose turn it is. It returns nil
// if none may be served now.
func (g *Gate) next() *conn {
	if len(g.served) >= g.limits.Served {
		return nil
	}
	best, sent := -1, false
	for i, c := range g.waiting {
		n := g.clients[c.client]
		if n >= g.limits.Client || sent && n >= g.clients[g.waiting[best].client] {
			continue
		}
		// The first of all is next if none has sent anything.
		if has := c.hasSent(); has || best < 0 {
			best, sent = i, has
		}
	}
	if best < 0 {
		return nil
	}
	c := g.waiting[best]
	g.waiting = slices.Delete(g.waiting, best, best+1)
	return c
}

// tickWhileWaiting has the gate's time pass for as long as connections wait.
func (g *Gate) tickWhileWaiting() {
	if len(g.waiting) > 0 && !g.ticking && !g.closed {
		g.ticking = true
		time.AfterFunc(g.limits.Tick, g.tick)
	}
}

// tick lets one tick pass, and closes the connections that have to make room.
func (g *Gate) tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ticking = false
	if len(g.waiting) == 0 || g.closed {
		return
	}
	g.ticks++
	if len(g.waiting) >= g.limits.Waiting {
		g.waiting = slices.DeleteFunc(g.waiting, func(c *conn) bool {
			useless := c.useless(g.ticks, &g.limits) && !c.hasSent()
			if useless {
				c.Close()
			}
			return useless
		})
		g.changed.Broadcast()
	}
	full := len(g.served) >= g.limits.Served
	for c := range g.served {
		if full || g.clients[c.client] >= g.limits.Client {
			if c.useless(g.ticks, &g.limits) {
				g.release(c)
				c.Close()
			}
		}
	}
	g.tickWhileWaiting()
}

// release ends the turn of c, if it has one.
func (g *Gate) release(c *conn) {
	if !g.served[c] {
		return
	}
	delete(g.served, c)
	if g.clients[c.client]--; g.clients[c.client] == 0 {
		delete(g.clients, c.client)
	}
	g.changed.Broadcast()
}

// crowded reports whether connections wait.
func (g *Gate) crowded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting) > 0
}

// now returns the ticks that have passed.
func (g *Gate) now() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ticks
}

// Close implements net.Listener: it closes the listeners and the connections that
// wait, not those that are being served.
func (g *Gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	g.closed = true
	errs := make([]error, 0, len(g.listeners))
	for _, l := range g.listeners {
		errs = append(errs, l.Close())
	}
	for _, c := range g.waiting {
		c.Close()
	}
	g.waiting = nil
	g.changed.Broadcast()
	return errors.Join(errs...)
}

// Addr implements net.Listener: it is the first listener's.
func (g *Gate) Addr() net.Addr { return g.listeners[0].Addr() }
