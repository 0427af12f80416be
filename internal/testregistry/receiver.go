package testregistry

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Receiver is a registry, in memory, that takes images, with trouble if a test asks for
// it. It refuses lists whose images are not there. It is safe for concurrent use.
type Receiver struct {
	handler http.Handler

	mu       sync.Mutex
	trouble  func(w http.ResponseWriter, req *http.Request) (answered bool)
	received int64
}

// NewReceiver returns an empty one, which has the referrers API if that is set.
func NewReceiver(referrers bool) *Receiver {
	return &Receiver{handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(referrers))}
}

// Trouble sets what goes wrong from now on: a function that reports whether it has answered.
// Nil is nothing.
func (r *Receiver) Trouble(f func(w http.ResponseWriter, req *http.Request) (answered bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble = f
}

// Received is how many bytes of blobs came.
func (r *Receiver) Received() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.received
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	trouble := r.trouble
	r.mu.Unlock()
	if trouble != nil && trouble(w, req) {
		return
	}
	if req.Method == http.MethodPatch {
		req.Body = &received{req.Body, r}
	}
	r.handler.ServeHTTP(w, req)
}

type received struct {
	io.ReadCloser
	r *Receiver
}

// Read implements io.Reader.
func (b *received) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.r.mu.Lock()
	b.r.received += int64(n)
	b.r.mu.Unlock()
	return n, err
}

// Serve answers requests on a free port of 127.0.0.1 until closer is called.
func (r *Receiver) Serve() (addr string, closer func(), err error) {
	l, err := listen()
	if err != nil {
		return "", nil, fmt.Errorf("test registry: %w", err)
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(l) //nolint:errcheck // it ends by closer
	return l.Addr().String(), func() { _ = server.Close() }, nil
}

// Troubles are what a Receiver is asked for by name.
func Troubles(name string) func(w http.ResponseWriter, req *http.Request) bool {
	var mu sync.Mutex
	times := make(map[string]int)
	count := func(key string) int {
		mu.Lock()
		defer mu.Unlock()
		times[key]++
		return times[key]
	}
	upload := func(req *http.Request) bool {
		return req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/blobs/uploads/")
	}
	switch name {
	case "throttle": // every other upload is asked to wait, or the server is busy
		return func(w http.ResponseWriter, req *http.Request) bool {
			n := 0
			if upload(req) {
				n = count("")
			}
			switch n % 4 {
			case 1:
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
				return true
			case 3:
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return false
		}
	case "refuse":
		return func(w http.ResponseWriter, req *http.Request) bool {
			if upload(req) {
				http.Error(w, `{"errors":[{"code":"DENIED","message":"read only"}]}`, http.StatusForbidden)
			}
			return upload(req)
		}
	case "nospace": // no project of the name
		return func(w http.ResponseWriter, req *http.Request) bool {
			if upload(req) {
				w.WriteHeader(http.StatusNotFound)
			}
			return upload(req)
		}
	case "signin":
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
	case "stall": // takes no byte of a blob
		return func(_ http.ResponseWriter, req *http.Request) bool {
			if req.Method != http.MethodPatch {
				return false
			}
			<-req.Context().Done()
			return true
		}
	case "break": // the line is cut at the third blob, and stays so
		return func(_ http.ResponseWriter, req *http.Request) bool {
			if req.Method == http.MethodPatch && count("") > 2 {
				_, _ = io.CopyN(io.Discard, req.Body, 100) // the rest never comes
				panic(http.ErrAbortHandler)
			}
			return false
		}
	case "flaky": // each blob breaks once
		return func(_ http.ResponseWriter, req *http.Request) bool {
			if req.Method == http.MethodPatch && count("")%2 == 1 {
				_, _ = io.CopyN(io.Discard, req.Body, 100) // the rest never comes
				panic(http.ErrAbortHandler)
			}
			return false
		}
	case "lie": // says that it stored another blob
		return func(w http.ResponseWriter, req *http.Request) bool {
			if req.Method != http.MethodPut || !strings.Contains(req.URL.Path, "/blobs/") {
				return false
			}
			w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
			w.WriteHeader(http.StatusCreated)
			return true
		}
	case "rewrite": // stores another manifest than it was given
		return func(w http.ResponseWriter, req *http.Request) bool {
			if !strings.Contains(req.URL.Path, "/manifests/") || req.Method != http.MethodGet || count(req.URL.Path) == 1 {
				return false
			}
			_, _ = io.WriteString(w, `{"schemaVersion":2}`)
			return true
		}
	}
	return nil
}
