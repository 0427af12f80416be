package pull_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/pull"
)

// fault is how a registry misbehaves; next is what it would have done.
type fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// request is what a registry was asked.
type request struct {
	method, path, rng, auth string
}

// fakeRegistry is an in-process registry that misbehaves as it is told.
type fakeRegistry struct {
	*httptest.Server
	host   string
	stalls stallClock

	mu       sync.Mutex
	faults   []scripted
	requests []request
}

// scripted is a fault for the next times requests whose "METHOD path" contains match.
type scripted struct {
	match string
	times int
	fault fault
}

// always is more often than any test asks.
const always = 1 << 30

// image is what a test pushed.
type image struct {
	repo, tag string
	manifest  digest.Digest
	bytes     []byte
	layer     digest.Digest
	data      []byte // the layer's
}

func (i image) size() int64 { return int64(len(i.data)) }

// newRegistry starts a registry; wrap, where it is not nil, stands before it.
func newRegistry(t *testing.T, start func(http.Handler) *httptest.Server, wrap func(http.Handler) http.Handler) *fakeRegistry {
	t.Helper()
	r := &fakeRegistry{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		inner = wrap(inner)
	}
	r.Server = start(r.handler(inner))
	t.Cleanup(r.Close)
	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	r.host = u.Host
	return r
}

// plain is a registry on this machine without TLS.
func plain(t *testing.T) *fakeRegistry {
	t.Helper()
	return newRegistry(t, httptest.NewServer, nil)
}

func (r *fakeRegistry) handler(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Push") != "" {
			inner.ServeHTTP(w, req)
			return
		}
		r.mu.Lock()
		r.requests = append(r.requests, request{req.Method, req.URL.Path, req.Header.Get("Range"), req.Header.Get("Authorization")})
		var f fault
		for i := range r.faults {
			s := &r.faults[i]
			if s.times > 0 && strings.Contains(req.Method+" "+req.URL.Path, s.match) {
				s.times--
				f = s.fault
				break
			}
		}
		r.mu.Unlock()
		if f != nil {
			f(w, req.WithContext(context.WithValue(req.Context(), stallKey{}, &r.stalls)), inner)
			return
		}
		inner.ServeHTTP(w, req)
	})
}

// fail makes the next times requests whose "METHOD path" contains match go wrong.
func (r *fakeRegistry) fail(match string, times int, f fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, scripted{match, times, f})
}

// asked returns the requests whose "METHOD path" contains match.
func (r *fakeRegistry) asked(match string) []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.requests), func(q request) bool {
		return !strings.Contains(q.method+" "+q.path, match)
	})
}

// pusher marks its requests, which the faults leave alone.
type pusher struct{ inner http.RoundTripper }

func (p pusher) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("X-Push", "1")
	return p.inner.RoundTrip(req)
}

// push puts an image of chance with one layer of about size bytes at each of
// the registries, the same at all.
func push(t *testing.T, repo, tag string, size int64, at ...*fakeRegistry) image {
	t.Helper()
	img, err := random.Image(size, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range at {
		ref, err := name.ParseReference(r.host + "/" + repo + ":" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, img, remote.WithTransport(pusher{r.Client().Transport})); err != nil {
			t.Fatal(err)
		}
	}
	out := image{repo: repo, tag: tag}
	if out.bytes, err = img.RawManifest(); err != nil {
		t.Fatal(err)
	}
	out.manifest = digest.FromBytes(out.bytes)
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	out.layer, out.data = layerBytes(t, layers[0])
	return out
}

// layerBytes returns a layer as a registry has it.
func layerBytes(t *testing.T, l v1.Layer) (digest.Digest, []byte) {
	t.Helper()
	content, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	data, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	return digest.FromBytes(data), data
}

// naps notes how long a client wanted to wait, and lets it go on at once.
type naps struct {
	mu   sync.Mutex
	list []time.Duration
}

func (n *naps) sleep(ctx context.Context, d time.Duration) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, d)
	return ctx.Err()
}

// newClient returns a client that knows nothing of this machine's
// configuration, and its naps.
func newClient(t *testing.T, o pull.Options) (*pull.Client, *naps) {
	t.Helper()
	if o.RegistriesConf == "" {
		o.RegistriesConf = writeFile(t, "registries.conf", "")
	}
	if o.AuthFile == "" {
		o.AuthFile = writeFile(t, "auth.json", "{}")
	}
	if o.CertDir == "" {
		o.CertDir = t.TempDir()
	}
	n := &naps{}
	if o.Sleep == nil {
		o.Sleep = n.sleep
	}
	c, err := pull.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c, n
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readBlob reads img's layer from r from offset on, and compares it. Each onRead gets the
// length of all reads.
func readBlob(t *testing.T, c *pull.Client, ref string, img image, offset int64, onRead ...func(n int)) error {
	t.Helper()
	b, err := c.Blob(t.Context(), ref, img.layer, img.size(), offset)
	if err != nil {
		return err
	}
	defer b.Close()
	got, err := io.ReadAll(readerFunc(func(p []byte) (int, error) {
		n, err := b.Read(p)
		for _, f := range onRead {
			f(n)
		}
		return n, err
	}))
	if err == nil && !bytes.Equal(got, img.data[offset:]) {
		t.Errorf("blob from %d: %d bytes that are not the blob's %d", offset, len(got), len(img.data)-int(offset))
	}
	return err
}

// The faults.

func status(code int, header ...string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// reset breaks the connection without an answer.
func reset(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// stall answers nothing until the client gives up.
func stall(_ http.ResponseWriter, r *http.Request, _ http.Handler) { untilGone(r) }

// answer is what a handler would send.
func answer(r *http.Request, next http.Handler) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	return rec
}

func copyHeader(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
}

// breakAfter sends n bytes of the body, and then does end.
func breakAfter(n int, end func(*http.Request)) fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := answer(r, next)
		copyHeader(w, rec)
		w.WriteHeader(rec.Code)
		n = min(n, rec.Body.Len())
		if strings.Contains(r.URL.Path, "/blobs/") {
			stallsOf(r).sent.Add(int64(n))
		}
		_, _ = w.Write(rec.Body.Bytes()[:n])
		_ = http.NewResponseController(w).Flush()
		end(r)
	}
}

func abort(*http.Request) { panic(http.ErrAbortHandler) }

// untilGone waits until the client gives up. For one that has the registry's stallClock
// the time is over as soon as it has read what was sent. Then the client is given the time
// to go: its next request has a timer, too, which must not be over.
func untilGone(r *http.Request) {
	for stalls := stallsOf(r); ; {
		wait := time.Millisecond
		if stalls.read.Load() >= stalls.sent.Load() && stalls.expire() {
			wait = 5 * time.Second
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(wait):
		}
	}
}

// ignoreRange answers with the whole blob whatever is asked.
func ignoreRange(w http.ResponseWriter, r *http.Request, next http.Handler) {
	r = r.Clone(r.Context())
	r.Header.Del("Range")
	next.ServeHTTP(w, r)
}

// change lets f change the answer before it is sent.
func change(f func(rec *httptest.ResponseRecorder, body []byte) []byte) fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := answer(r, next)
		rec.Header().Del("Content-Length")
		body := f(rec, rec.Body.Bytes())
		copyHeader(w, rec)
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body)
	}
}
