package gate

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// conn is a connection of a gate.
type conn struct {
	net.Conn
	gate   *Gate
	client string
	// busy says that a request is being answered. since is the tick at which the
	// connection last had a request, or at which the write that is under way began;
	// writing says that there is one.
	busy, writing atomic.Bool
	since         atomic.Int64
}

// client returns what counts as one client with c.
func client(c net.Conn) string {
	remote := c.RemoteAddr()
	if remote == nil {
		return ""
	}
	port, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return remote.Network() // a socket of this machine
	}
	addr := port.Addr().Unmap().WithZone("")
	if addr.Is6() {
		if net64, err := addr.Prefix(64); err == nil {
			return net64.String()
		}
	}
	return addr.String()
}

// hasSent reports whether the client has sent something that was not read yet, or has
// closed the connection.
func (c *conn) hasSent() bool {
	system, ok := c.Conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return true
	}
	sent := true
	err = raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		sent = !errors.Is(err, unix.EAGAIN)
		return true
	})
	return sent || err != nil
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.since.Store(c.gate.now())
	c.writing.Store(true)
	defer c.writing.Store(false)
	return c.Conn.Write(p)
}

// ReadFrom implements io.ReaderFrom, so that a file goes to the connection without passing
// through here. To the gate it is one write, however long src is: callers give it pieces.
func (c *conn) ReadFrom(src io.Reader) (int64, error) {
	c.since.Store(c.gate.now())
	c.writing.Store(true)
	defer c.writing.Store(false)
	if from, ok := c.Conn.(io.ReaderFrom); ok {
		return from.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, src)
}

// useless reports whether the connection has to make room at the tick now.
func (c *conn) useless(now int64, limits *Limits) bool {
	quiet := now - c.since.Load()
	if c.busy.Load() {
		return c.writing.Load() && quiet >= limits.Stall
	}
	return quiet >= limits.Grace
}

// connKey is the key of the connection in the context of its requests.
type connKey struct{}

// Context is http.Server.ConnContext.
func (g *Gate) Context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// State is http.Server.ConnState.
func (g *Gate) State(nc net.Conn, state http.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	switch state {
	case http.StateIdle:
		// It has had its request: a tenth of the grace is left.
		c.since.Store(g.now() - g.limits.Grace + g.limits.Grace/10)
		c.busy.Store(false)
	case http.StateClosed, http.StateHijacked:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.release(c)
	case http.StateNew, http.StateActive: // it has sent a byte, which is no request yet
	}
}

// Handler has next answer. It notes which connections are being answered, and while
// others wait it asks clients to close theirs.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			c.since.Store(g.now())
			c.busy.Store(true)
		}
		if g.crowded() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
