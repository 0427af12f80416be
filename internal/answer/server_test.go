package answer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/answer/gate"
)

// serveOn serves h on a free port until the test ends.
func serveOn(t *testing.T, h http.Handler) (addr string) {
	t.Helper()
	return serveWith(t, h, limits(4096))
}

func serveWith(t *testing.T, h http.Handler, limits gate.Limits) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, h, slog.New(slog.DiscardHandler), gate.New(limits, l)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving ends with %v", err)
		}
	})
	return l.Addr().String()
}

// TestUseless opens more connections than are allowed that send nothing, half a
// request or nonsense, or do not read, while others ask.
func TestUseless(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	addr := serveOn(t, handler(f.dir))
	for i := range 3 * maxConnections {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, []string{
			"", "GET /v2/ HTTP/1.1\r\nHost: ", "\x16\x03\x01garbage\r\n\r\n",
			strings.Repeat("GET /v2/quay.io/team/app/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n", 50),
		}[i%4])
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				resp, err := client.Get("http://" + addr + "/v2/quay.io/team/app/manifests/v1")
				if err != nil {
					t.Errorf("a request among useless connections: %v", err)
					return
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("a request among useless connections: %s, %v", resp.Status, err)
				}
				resp.Body.Close()
			}
		})
	}
	all.Wait()
}

func TestLongHeader(t *testing.T) {
	t.Parallel()
	addr := serveOn(t, handler(newFixture(t).dir))
	req, err := http.NewRequest(http.MethodGet, "http://"+addr+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return // cut off before all of it was sent
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 64 KiB: %s", resp.Status)
	}
}

// brokenListener fails at once.
type brokenListener struct{ net.Listener }

var errBroken = errors.New("broken")

func (brokenListener) Accept() (net.Conn, error) { return nil, errBroken }

func TestServeFails(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), handler(), slog.New(slog.DiscardHandler), brokenListener{l}); !errors.Is(err, errBroken) {
		t.Errorf("error %v, want %v", err, errBroken)
	}
}
