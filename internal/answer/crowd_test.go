package answer

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/answer/gate"
	"github.com/nodeseal/nodeseal/internal/store"
)

// never is a number of ticks that does not pass.
const never = 1 << 40

// TestCrowd has more clients than connections are served: each gets its answer.
func TestCrowd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	addr := serveOn(t, handler(f.dir))
	for name, c := range map[string]struct{ clients, requests int }{
		"all at once": {1000, 1}, "steady": {200, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all sync.WaitGroup
			for range c.clients {
				all.Go(func() {
					transport := &http.Transport{}
					defer transport.CloseIdleConnections()
					for range c.requests {
						if err := get(transport, "http://"+addr+"/v2/quay.io/team/app/manifests/v1"); err != nil {
							t.Errorf("one of %d clients: %v", c.clients, err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}

func get(transport http.RoundTripper, url string) error {
	resp, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}

// TestUnread has clients that ask for more than a socket holds and do not read it, on
// all connections that one client may have, and then on all that there are.
func TestUnread(t *testing.T) {
	t.Parallel()
	endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.URL.Path == "/endless" {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	for name, c := range map[string]struct {
		limits gate.Limits
		from   net.IP
	}{
		"another client": {gate.Limits{Served: 16, Client: 12, Waiting: 64, Tick: time.Millisecond, Grace: never, Stall: never}, net.IPv4(127, 0, 0, 2)},
		"the same":       {gate.Limits{Served: 16, Client: 16, Waiting: 64, Tick: time.Millisecond, Grace: never, Stall: 20}, net.IPv4(127, 0, 0, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := serveWith(t, endless, c.limits)
			for range 32 {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := io.WriteString(conn, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
			}
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: c.from}}
			transport := &http.Transport{DialContext: dialer.DialContext}
			defer transport.CloseIdleConnections()
			if err := get(transport, "http://"+addr+"/"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLimits: what is served leaves files for the stores.
func TestLimits(t *testing.T) {
	t.Parallel()
	for files, want := range map[int]gate.Limits{
		64:      {Served: 10, Client: 7, Waiting: 10},
		1024:    {Served: 128, Client: 96, Waiting: 616},
		1 << 20: {Served: 128, Client: 96, Waiting: 1024},
		8:       {Served: 1, Client: 1, Waiting: 1},
	} {
		got := limits(files)
		got.Tick, got.Grace, got.Stall = 0, 0, 0
		if got != want {
			t.Errorf("%d files: %+v, want %+v", files, got, want)
		}
	}
}

// TestPatient: a client that is slow alone has its time; while others wait it has ten
// seconds, and one more for each MiB.
func TestPatient(t *testing.T) {
	t.Parallel()
	now, crowded := time.Unix(0, 0), false
	var deadline time.Time
	w := &deadlines{set: func(d time.Time) { deadline = d }, took: 4 * time.Second, now: &now}
	p := &patient{
		w: w, control: http.NewResponseController(w), now: func() time.Time { return now },
		others: func() bool { return crowded },
	}
	piece := make([]byte, 1<<20)
	left := func(want time.Duration) {
		t.Helper()
		start := now
		if _, err := p.Write(piece); err != nil {
			t.Fatal(err)
		}
		if got := deadline.Sub(start); got != want {
			t.Errorf("%v for a piece, want %v", got, want)
		}
	}
	left(patience)
	left(patience)
	crowded = true
	left(5 * time.Second) // 10 + 3 - 8
	left(2 * time.Second)
	left(0)
}

type deadlines struct {
	http.ResponseWriter
	set  func(time.Time)
	took time.Duration
	now  *time.Time
}

func (d *deadlines) SetWriteDeadline(to time.Time) error { d.set(to); return nil }

func (d *deadlines) Write(p []byte) (int, error) { *d.now = d.now.Add(d.took); return len(p), nil }

// TestTurns: of the requests for layers some wait, and the others are told to ask again.
func TestTurns(t *testing.T) {
	t.Parallel()
	turns := newTurns()
	entered := func(client string) (n int) {
		for turns.enter(client) {
			n++
		}
		return n
	}
	if a, b, c := entered("a"), entered("b"), entered("c"); a != maxLayersOfClient || b != maxLayers-maxLayersOfClient || c != 0 {
		t.Errorf("%d, %d and %d requests of three clients", a, b, c)
	}
	if !turns.crowded() {
		t.Error("none of them waits")
	}
	turns.leave("a")
	done, err := turns.wait(t.Context(), "[::1]:80")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := turns.wait(t.Context(), "[::1]:81"); err == nil {
		t.Error("one more is not refused")
	}
	done()
	if turns.clients["::1"] != 0 || turns.all != maxLayers-1 || len(turns.running) != 0 {
		t.Errorf("%d are left, %d running", turns.all, len(turns.running))
	}
}

// TestPipes puts a named pipe in the place of each file of a store, before it is opened
// and while it is served: every request ends.
func TestPipes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var files []string
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	old := handler(f.dir)
	id, size := "", int64(0)
	for _, l := range old.stores.current().views[0].layers {
		id, size = l.id, l.size
	}
	split := filepath.Join(f.dir, store.TarSplitFile(id))
	check(t, os.MkdirAll(filepath.Join(f.dir, store.DiffDir(id)), 0o755))
	paths := []string{
		"/healthz", "/metrics", "/v2/", "/v2/quay.io/team/app/tags/list",
		"/v2/quay.io/team/app/manifests/v1", "/v2/quay.io/team/app/manifests/" + f.sigTag(),
		"/v2/docker.io/library/listed/manifests/latest", "/v2/quay.io/team/app/blobs/" + f.app.Config.Digest.String(),
		"/v2/quay.io/team/app/blobs/" + f.payload.Digest.String(), "/v2/quay.io/team/app/referrers/" + f.app.Digest.String(),
		"/extensions/v2/quay.io/team/app/signatures/" + f.app.Digest.String(),
	}
	for d, l := range old.stores.current().views[0].layers {
		if l.size == size {
			paths = append(paths, "/v2/quay.io/team/app/blobs/"+d.String())
		}
	}
	done := make(chan string)
	go func() {
		defer close(done)
		for _, file := range append(files, split) {
			data, _ := os.ReadFile(file)
			_ = os.Remove(file)
			if unix.Mkfifo(file, 0o644) != nil {
				done <- "no pipe for " + file
			}
			for _, h := range []*Handler{old, New(Options{Stores: []string{f.dir}, Layers: true, Now: time.Now})} {
				h.layers = true
				for _, path := range paths {
					done <- file + " " + path
					func() {
						defer func() { _ = recover() }() // a layer that is cut off
						ask(h, "GET", path)
					}()
				}
			}
			_ = os.Remove(file)
			if data != nil {
				_ = os.WriteFile(file, data, 0o644)
			}
		}
	}()
	for last := ""; ; {
		select {
		case now, more := <-done:
			if !more {
				return
			}
			last = now
		case <-time.After(time.Minute):
			t.Fatalf("no answer within a minute: %s", last)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
