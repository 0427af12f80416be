package answer

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// conns bounds the connections of a server. Where there are too many, the one
// that has waited longest without a request goes, so that clients that only
// connect, or send half a header, do not keep others out.
type conns struct {
	limit int

	mu sync.Mutex
	// waiting are connections without a request, longest first; busy ones are
	// those in all that are not there.
	waiting *list.List
	all     map[net.Conn]*list.Element
}

func newConns(limit int) *conns {
	return &conns{limit: limit, waiting: list.New(), all: make(map[net.Conn]*list.Element)}
}

// connKey is the key of the connection in the context of its requests.
type connKey struct{}

// context is http.Server.ConnContext.
func (c *conns) context(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// state is http.Server.ConnState.
func (c *conns) state(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.add(conn)
	case http.StateIdle:
		c.setBusy(conn, false)
	case http.StateClosed, http.StateHijacked:
		c.remove(conn)
	case http.StateActive: // it has sent a byte, which is no request yet
	}
}

func (c *conns) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[conn] = c.waiting.PushBack(conn)
	if len(c.all) <= c.limit {
		return
	}
	oldest := c.waiting.Front()
	victim, ok := c.waiting.Remove(oldest).(net.Conn)
	if ok {
		delete(c.all, victim)
		_ = victim.Close() // it is the server's to notice
	}
}

func (c *conns) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.all[conn]; e != nil {
		c.waiting.Remove(e)
	}
	delete(c.all, conn)
}

// setBusy notes that conn has a request that is being answered, or has not.
func (c *conns) setBusy(conn net.Conn, busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, known := c.all[conn]
	if !known {
		return
	}
	if e != nil {
		c.waiting.Remove(e)
		c.all[conn] = nil
	}
	if !busy {
		c.all[conn] = c.waiting.PushBack(conn)
	}
}

// handler marks connections busy while next answers.
func (c *conns) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, ok := r.Context().Value(connKey{}).(net.Conn); ok {
			c.setBusy(conn, true)
		}
		next.ServeHTTP(w, r)
	})
}
