package pull_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/pull"
)

const layerSize = 200_000

func TestBlob(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", layerSize, r)
	c, _ := newClient(t, pull.Options{})
	for _, offset := range []int64{0, 1, 100_000, img.size() - 1, img.size()} {
		if err := readBlob(t, c, r.host+"/acme/app@"+img.manifest.String(), img, offset); err != nil {
			t.Errorf("blob from %d: %v", offset, err)
		}
	}
	var ranges []string
	for _, q := range r.asked("GET /v2/acme/app/blobs") {
		ranges = append(ranges, q.rng)
	}
	last := img.size() - 1
	want := []string{"", fmt.Sprintf("bytes=1-%d", last), fmt.Sprintf("bytes=100000-%d", last), fmt.Sprintf("bytes=%d-%d", last, last)}
	if !slices.Equal(ranges, want) {
		t.Errorf("asked for %q, want %q", ranges, want)
	}
}

// Each fault comes twice; the blob must come whole, and what came is not asked for again.
func TestBlobResumes(t *testing.T) {
	t.Parallel()
	shorter := change(func(_ *httptest.ResponseRecorder, body []byte) []byte { return body[:len(body)/2] })
	for _, tt := range []struct {
		name   string
		faults []fault
		resume bool // by Range
	}{
		{"reset in the body", []fault{breakAfter(70_000, abort), breakAfter(50_000, abort)}, true},
		{"reset at once", []fault{reset, reset}, false},
		{"stall in the body", []fault{breakAfter(70_000, untilGone), breakAfter(50_000, untilGone)}, true},
		{"stall at once", []fault{stall, stall}, false},
		{"ends early", []fault{breakAfter(70_000, func(*http.Request) {}), breakAfter(50_000, func(*http.Request) {})}, true},
		{"503 after a reset", []fault{breakAfter(70_000, abort), status(503)}, true},
		{"429 after a reset", []fault{breakAfter(70_000, abort), status(429, "Retry-After", "1")}, true},
		{"no Range", []fault{breakAfter(70_000, abort), ignoreRange}, true},
		{"no Range, and breaks before the offset", []fault{
			breakAfter(70_000, abort),
			func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				r.Header.Del("Range")
				breakAfter(30_000, abort)(w, r, next)
			},
		}, true},
		{"answers with less of the range", []fault{
			breakAfter(70_000, abort),
			func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				r.Header.Set("Range", strings.Replace(r.Header.Get("Range"), "-", "-1", 1)[:len("bytes=70000-")]+"99999")
				next.ServeHTTP(w, r)
			},
		}, true},
		{"shorter, in chunks", []fault{func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header().Set("Transfer-Encoding", "chunked")
			shorter(w, r, next)
		}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := plain(t)
			img := push(t, "acme/app", "v1", layerSize, r)
			for _, f := range tt.faults {
				r.fail("blobs", 1, f)
			}
			c, _ := newClient(t, pull.Options{AfterFunc: r.stalls.afterFunc})
			if err := readBlob(t, c, r.host+"/acme/app:v1", img, 0, r.stalls.came); err != nil {
				t.Fatal(err)
			}
			asked := r.asked("GET /v2/acme/app/blobs")
			if ranged := asked[len(asked)-1].rng != ""; ranged != tt.resume {
				t.Errorf("last request's range %q, want one: %t", asked[len(asked)-1].rng, tt.resume)
			}
		})
	}
}

func TestBlobHopeless(t *testing.T) {
	t.Parallel()
	withHeader := func(key, value string) fault {
		return change(func(rec *httptest.ResponseRecorder, body []byte) []byte {
			rec.Header().Set(key, value)
			return body
		})
	}
	for _, tt := range []struct {
		name   string
		fault  fault
		offset int64
		want   error
	}{
		{"404", status(404), 0, pull.ErrNotFound},
		{"403", status(403), 0, pull.ErrDenied},
		{"longer", change(func(_ *httptest.ResponseRecorder, body []byte) []byte { return append(body, body...) }), 0, pull.ErrSize},
		{"shorter", withHeader("Content-Length", "7"), 0, pull.ErrSize},
		{"416", status(416), 10, pull.ErrSize},
		{"range starts elsewhere", withHeader("Content-Range", "bytes 0-7/8"), 10, pull.ErrSize},
		{"range of another length", withHeader("Content-Range", "bytes 10-19/20"), 10, pull.ErrSize},
		{"range that is none", withHeader("Content-Range", "bytes x"), 10, pull.ErrSize},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := plain(t)
			img := push(t, "acme/app", "v1", layerSize, r)
			r.fail("blobs", always, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
				if tt.name == "longer" {
					// Declared, as a wrong object of an object storage is.
					w.Header().Set("Content-Length", fmt.Sprint(2*img.size()))
				}
				tt.fault(w, req, next)
			})
			c, n := newClient(t, pull.Options{})
			err := readBlob(t, c, r.host+"/acme/app:v1", img, tt.offset)
			var e *pull.Error
			if !errors.As(err, &e) || !errors.Is(err, tt.want) || e.Temporary() || e.Digest != img.layer || len(n.list) != 0 {
				t.Fatalf("error %v after %v, want %v at once", err, n.list, tt.want)
			}
		})
	}
}

// A body that goes on behind the blob's end is cut there.
func TestBlobNeverLonger(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", layerSize, r)
	r.fail("blobs", always, change(func(rec *httptest.ResponseRecorder, body []byte) []byte {
		rec.Header().Set("Transfer-Encoding", "chunked")
		return append(body, body...)
	}))
	c, _ := newClient(t, pull.Options{})
	if err := readBlob(t, c, r.host+"/acme/app:v1", img, 0); err != nil {
		t.Fatal(err)
	}
}

func TestBlobGivesUp(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", layerSize, r)
	r.fail("blobs", always, breakAfter(10, abort))
	c, n := newClient(t, pull.Options{Retries: 3})
	err := readBlob(t, c, r.host+"/acme/app:v1", img, 0)
	var e *pull.Error
	if !errors.As(err, &e) || !e.Temporary() || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("error %v, want a temporary one", err)
	}
	if got := len(r.asked("blobs")); got != 4 || len(n.list) != 3 {
		t.Errorf("asked %d times with %d waits, want 4 and 3", got, len(n.list))
	}
}

// A big blob over a line that breaks every now and then comes in the end.
func TestBlobProgressCountsMore(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", 12<<20, r)
	r.fail("blobs", always, breakAfter(2<<20, abort))
	c, _ := newClient(t, pull.Options{Retries: 2})
	if err := readBlob(t, c, r.host+"/acme/app:v1", img, 0); err != nil {
		t.Fatal(err)
	}
}

// A consumer may take its time: only the network's silence is a stall.
func TestSlowConsumerIsNoStall(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", 8<<20, r)
	c, _ := newClient(t, pull.Options{AfterFunc: r.stalls.afterFunc})
	b, err := c.Blob(t.Context(), r.host+"/acme/app:v1", img.layer, img.size(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	head := make([]byte, 10)
	if _, err := io.ReadFull(b, head); err != nil {
		t.Fatal(err)
	}
	r.stalls.expire()
	rest, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(append(head, rest...), img.data) {
		t.Fatalf("%d bytes, %v", len(rest), err)
	}
	if got := len(r.asked("blobs")); got != 1 {
		t.Errorf("asked %d times, want once", got)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(ctx context.Context, c *pull.Client, ref string, img image) error
	}{
		{"waiting to try again", func(ctx context.Context, c *pull.Client, ref string, _ image) error {
			_, err := c.Manifest(ctx, ref)
			return err
		}},
		{"in a body", func(ctx context.Context, c *pull.Client, ref string, img image) error {
			b, err := c.Blob(ctx, ref, img.layer, img.size(), 0)
			if err != nil {
				return err
			}
			defer b.Close()
			_, err = io.Copy(io.Discard, b)
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := plain(t)
			img := push(t, "acme/app", "v1", layerSize, r)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r.fail("manifests", always, status(503, "Retry-After", "200"))
			r.fail("blobs", always, breakAfter(10, func(req *http.Request) {
				cancel()
				untilGone(req)
			}))
			// The real sleep: it is what must end.
			c, err := pull.New(pull.Options{
				RegistriesConf: writeFile(t, "registries.conf", ""), CertDir: t.TempDir(),
				OnWait: func(pull.Wait) { time.AfterFunc(10*time.Millisecond, cancel) },
			})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			err = tt.do(ctx, c, r.host+"/acme/app:v1", img)
			var e *pull.Error
			if !errors.Is(err, context.Canceled) || !errors.As(err, &e) || e.Temporary() {
				t.Fatalf("error %v, want the context's", err)
			}
			if d := time.Since(start); d > 150*time.Second {
				t.Errorf("went on for %s, as long as the registry asked for", d)
			}
		})
	}
}

func TestBlobArguments(t *testing.T) {
	t.Parallel()
	c, _ := newClient(t, pull.Options{})
	for _, tt := range []struct {
		digest       string
		size, offset int64
	}{
		{"sha256:beef", 1, 0},
		{"sha512:" + strings.Repeat("0", 128), 1, 0},
		{"sha256:" + strings.Repeat("0", 64), 1, 2},
		{"sha256:" + strings.Repeat("0", 64), 1, -1},
	} {
		if _, err := c.Blob(t.Context(), "quay.io/a/b:v1", digest.Digest(tt.digest), tt.size, tt.offset); err == nil {
			t.Errorf("Blob(%+v) gave no error", tt)
		}
	}
}

// Closing early gives the slot back, and twice is no harm.
func TestBlobCloseGivesTheSlotBack(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", 8<<20, r)
	c, _ := newClient(t, pull.Options{MaxPerHost: 1})
	for range 3 {
		b, err := c.Blob(t.Context(), r.host+"/acme/app:v1", img.layer, img.size(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(b, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("Read after Close = %v", err)
		}
	}
}
