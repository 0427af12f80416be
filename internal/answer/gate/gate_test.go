package gate

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// peer is a connection from an address.
type peer struct {
	net.Conn
	from   string
	closed bool
	held   chan struct{}
}

func (p *peer) Close() error         { p.closed = true; return nil }
func (p *peer) RemoteAddr() net.Addr { return address(p.from) }
func (p *peer) Write(b []byte) (int, error) {
	<-p.held
	return len(b), nil
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// line is a listener that gives the connections of a channel, and errors for nil.
type line struct {
	net.Listener
	conns chan net.Conn
	done  chan struct{}
}

var errLine = errors.New("line")

func (l *line) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		if c == nil {
			return nil, errLine
		}
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *line) Close() error { close(l.done); return nil }

// start returns a gate, its line, and the connections that it lets pass.
func start(t *testing.T, limits Limits) (*Gate, *line, chan net.Conn) {
	l := &line{conns: make(chan net.Conn), done: make(chan struct{})}
	g := New(limits, l)
	passed := make(chan net.Conn, 100)
	go func() {
		for {
			c, err := g.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				passed <- c
			}
		}
	}()
	t.Cleanup(func() { _ = g.Close() })
	return g, l, passed
}

func (l *line) send(from string) *peer {
	p := &peer{from: from, held: make(chan struct{})}
	l.conns <- p
	synctest.Wait()
	return p
}

// names returns from where the connections came that have passed.
func names(passed chan net.Conn) (all string) {
	synctest.Wait()
	for len(passed) > 0 {
		all += (<-passed).RemoteAddr().String()[:1]
	}
	return all
}

// TestTurns: a client has at most its share, and the next turn is of the client that
// has least.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, l, passed := start(t, Limits{Served: 4, Client: 3, Waiting: 100, Tick: time.Hour, Grace: 1 << 40, Stall: 1 << 40})
		defer g.Close()
		for range 5 {
			l.send("1.0.0.1:1")
		}
		if got := names(passed); got != "111" {
			t.Errorf("%s have passed", got)
		}
		for range 5 {
			l.send("2.0.0.1:1")
		}
		l.send("3.0.0.1:1")
		var served []net.Conn
		for c := range g.served {
			served = append(served, c)
		}
		if got := names(passed); got != "2" {
			t.Errorf("%s have passed then", got)
		}
		for _, c := range served {
			if c.RemoteAddr().String()[:1] == "1" {
				g.State(c, http.StateClosed)
				g.State(c, http.StateClosed) // a second time is nothing
				synctest.Wait()
			}
		}
		if got := names(passed); got != "311" {
			t.Errorf("%s have passed at last", got)
		}
	})
}

// TestUseless: time passes only while others wait; then connections without a request
// go, and those that do not take their answer, and no others.
func TestUseless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, l, passed := start(t, Limits{Served: 4, Client: 4, Waiting: 100, Tick: time.Second, Grace: 3, Stall: 10})
		defer g.Close()
		serve := func(c net.Conn, answer func()) {
			r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(g.Context(t.Context(), c))
			g.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer() })).ServeHTTP(httptest.NewRecorder(), r)
		}
		idle, busy, stuck, quick := l.send("1.0.0.1:1"), l.send("1.0.0.1:2"), l.send("1.0.0.1:3"), l.send("1.0.0.1:4")
		synctest.Wait()
		<-passed
		go serve(<-passed, func() { <-busy.held })
		for range 2 {
			c := <-passed
			go serve(c, func() { _, _ = c.Write(nil); <-busy.held })
		}
		close(quick.held)
		time.Sleep(time.Hour)
		if idle.closed || stuck.closed {
			t.Error("a connection is closed although no other waits")
		}
		want := func(what string, idles, stucks bool) {
			t.Helper()
			synctest.Wait()
			if idle.closed != idles || stuck.closed != stucks || busy.closed || quick.closed {
				t.Errorf("%s: idle %v, stuck %v, busy %v, quick %v", what, idle.closed, stuck.closed, busy.closed, quick.closed)
			}
		}
		for range 10 {
			l.send("2.0.0.1:1")
		}
		time.Sleep(2500 * time.Millisecond)
		want("in the grace", false, false)
		time.Sleep(time.Second)
		want("after the grace", true, false)
		if got := names(passed); got != "2" {
			t.Errorf("%s has its turn", got)
		}
		time.Sleep(20 * time.Second)
		want("after the stall", true, true)
		close(busy.held)
		close(stuck.held)
	})
}

// TestCrowded: while others wait, clients are asked to close.
func TestCrowded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, l, _ := start(t, Limits{Served: 1, Client: 1, Waiting: 2, Tick: time.Hour, Grace: 3, Stall: 10})
		closes := func() string {
			w := httptest.NewRecorder()
			g.Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			return w.Header().Get("Connection")
		}
		l.send("1.0.0.1:1")
		if got := closes(); got != "" {
			t.Errorf("Connection: %s without others", got)
		}
		waiting := []*peer{l.send("1.0.0.1:2"), l.send("1.0.0.1:3")}
		if got := closes(); got != "close" {
			t.Errorf("Connection: %s with others", got)
		}
		select {
		case l.conns <- &peer{}:
			t.Error("one more was taken from the kernel")
		case <-time.After(time.Second):
		}
		if err := g.Close(); err != nil || !waiting[0].closed || !waiting[1].closed {
			t.Errorf("closed: %v, %v, %v", err, waiting[0].closed, waiting[1].closed)
		}
		if err := g.Close(); err != nil {
			t.Error("closed again:", err)
		}
	})
}

// TestFails: an error of a listener is Accept's, and the listener is asked again only then.
func TestFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{conns: make(chan net.Conn), done: make(chan struct{})}
		g := New(Limits{Served: 1, Client: 1, Waiting: 1, Tick: time.Hour}, l)
		defer g.Close()
		l.conns <- nil
		synctest.Wait()
		select {
		case l.conns <- nil:
			t.Error("the listener was asked again")
		default:
		}
		if _, err := g.Accept(); !errors.Is(err, errLine) {
			t.Error(err)
		}
		go func() { l.conns <- &peer{from: "1.0.0.1:1"} }()
		if c, err := g.Accept(); err != nil || c.RemoteAddr().String() != "1.0.0.1:1" {
			t.Error(c, err)
		}
	})
}

func TestClient(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1", "[::ffff:127.0.0.1]:80": "127.0.0.1", "[2001:db8::1:2:3:4]:80": "2001:db8::/64",
		"[fe80::1%eth0]:80": "fe80::/64", "@": "tcp",
	} {
		if got := client(&peer{from: addr}); got != want {
			t.Errorf("%s is %s, want %s", addr, got, want)
		}
	}
}
