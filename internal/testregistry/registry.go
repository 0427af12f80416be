package testregistry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Request is a request that a registry is about to answer.
type Request struct {
	// Blob is set for blobs; for manifests and referrers it is empty, and so is
	// Version for /v2/.
	Repository, Version string
	Blob                digest.Digest
	// Referrers asks for what refers to the manifest Version.
	Referrers bool
	// Offset is where the answer starts.
	Offset int64
	Header http.Header
	// Times is how often the same was asked for before.
	Times int
}

// Fault is what goes wrong with an answer. The zero value is nothing.
type Fault struct {
	// Status, where not 0, is answered, with the header.
	Status int
	Header http.Header
	// After, where above 0, is how many bytes of the body come before the
	// connection is reset, or, with Stall, before nothing more comes.
	After int64
	Stall bool
	// Short ends the body after After bytes as if it were whole.
	Short bool
	// NoRange ignores the request's range.
	NoRange bool
}

// Registry serves a Content over HTTP. It is safe for concurrent use.
type Registry struct {
	Content *Content
	// Trouble, where set, says what goes wrong with a request.
	Trouble func(Request) Fault
	// Referrers says that it has the referrers API; else it is a 404.
	Referrers bool
	// Rate, where above 0, bounds the bytes a second of each blob's body.
	Rate int64

	mu     sync.Mutex
	times  map[string]int
	served map[digest.Digest]int64
}

// Served is how many bytes of a blob were sent.
func (r *Registry) Served(d digest.Digest) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.served[d]
}

// ServeHTTP implements http.Handler.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	q, ok := r.parse(req)
	if !ok {
		http.NotFound(w, req)
		return
	}
	var fault Fault
	if r.Trouble != nil {
		fault = r.Trouble(q)
	}
	if fault.Status != 0 {
		for k, v := range fault.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(fault.Status)
		return
	}
	switch {
	case q.Version == "":
		w.WriteHeader(http.StatusOK)
	case q.Referrers && r.Referrers:
		r.referrers(w, req, q)
	case q.Referrers:
		http.NotFound(w, req)
	case q.Blob == "":
		r.manifest(w, req, q)
	default:
		r.blob(w, req, q, fault)
	}
}

// parse reads /v2/, /v2/REPOSITORY/manifests/VERSION, /v2/REPOSITORY/blobs/DIGEST
// and /v2/REPOSITORY/referrers/DIGEST.
func (r *Registry) parse(req *http.Request) (Request, bool) {
	path, ok := strings.CutPrefix(req.URL.Path, "/v2/")
	q := Request{Header: req.Header}
	if !ok || path == "" {
		return q, ok
	}
	var kind string
	i := -1
	for _, kind = range []string{"/manifests/", "/blobs/", "/referrers/"} {
		if i = strings.LastIndex(path, kind); i >= 0 {
			break
		}
	}
	if i < 0 {
		return q, false
	}
	q.Repository, q.Version = path[:i], path[i+len(kind):]
	q.Referrers = kind == "/referrers/"
	if kind == "/blobs/" {
		q.Blob = digest.Digest(q.Version)
		if q.Blob.Validate() != nil {
			return q, false
		}
		if from, ok := strings.CutPrefix(req.Header.Get("Range"), "bytes="); ok {
			first, _, _ := strings.Cut(from, "-")
			q.Offset, _ = strconv.ParseInt(first, 10, 64) // 0 where it is none
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.times == nil {
		r.times, r.served = make(map[string]int), make(map[digest.Digest]int64)
	}
	q.Times = r.times[req.URL.Path]
	r.times[req.URL.Path]++
	return q, true
}

func (r *Registry) manifest(w http.ResponseWriter, req *http.Request, q Request) {
	sep := ":"
	if strings.Contains(q.Version, ":") {
		sep = "@"
	}
	r.Content.mu.Lock()
	m, ok := r.Content.manifests[q.Repository+sep+q.Version]
	r.Content.mu.Unlock()
	if !ok {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Docker-Content-Digest", digest.FromBytes(m.data).String())
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(m.data))
}

// referrers answers with what has the manifest as its subject.
func (r *Registry) referrers(w http.ResponseWriter, req *http.Request, q Request) {
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: r.Content.referrers(q.Repository, q.Version)}
	data, err := json.Marshal(index)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", index.MediaType)
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(data))
}

func (r *Registry) blob(w http.ResponseWriter, req *http.Request, q Request, fault Fault) {
	f, err := os.Open(r.Content.path(q.Blob))
	if err != nil {
		http.NotFound(w, req)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	if fault.NoRange {
		req.Header.Del("Range")
	}
	var out http.ResponseWriter = &counted{w, r, q.Blob}
	if fault.After > 0 || r.Rate > 0 {
		out = &limited{ResponseWriter: w, r: r, q: q, fault: fault, left: fault.After, done: req.Context().Done()}
	}
	http.ServeContent(out, req, "", time.Time{}, f)
}

func (r *Registry) count(d digest.Digest, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served[d] += int64(n)
}

// counted counts a body on its way, by the kernel's shortest path.
type counted struct {
	http.ResponseWriter
	r *Registry
	d digest.Digest
}

// ReadFrom implements io.ReaderFrom.
func (c *counted) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseWriter, src)
	c.r.count(c.d, int(n))
	return n, err
}

// limited sends a body as slowly as the registry's rate says, and ends it as the
// fault says.
type limited struct {
	http.ResponseWriter
	r     *Registry
	q     Request
	fault Fault
	left  int64
	done  <-chan struct{}
}

// WriteHeader implements http.ResponseWriter.
func (l *limited) WriteHeader(status int) {
	if l.fault.Short {
		// A body without a length ends where it ends.
		l.Header().Del("Content-Length")
		l.Header().Set("Connection", "close")
	}
	l.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	sent := 0
	for len(p) > 0 {
		n := min(len(p), 16<<10)
		if l.fault.After > 0 {
			n = int(min(int64(n), l.left))
		}
		if n == 0 {
			return sent, l.trouble()
		}
		if l.r.Rate > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(l.r.Rate))
		}
		m, err := l.ResponseWriter.Write(p[:n])
		l.r.count(l.q.Blob, m)
		l.left -= int64(m)
		sent += m
		p = p[m:]
		if err != nil {
			return sent, err
		}
		l.ResponseWriter.(http.Flusher).Flush() //nolint:errcheck // every server's writer is one
	}
	return sent, nil
}

func (l *limited) trouble() error {
	switch {
	case l.fault.Stall:
		<-l.done
	case l.fault.Short:
		return io.ErrShortWrite
	}
	panic(http.ErrAbortHandler) // resets the connection
}

// Serve answers requests on a free port of 127.0.0.1 until closer is called.
func (r *Registry) Serve() (addr string, closer func(), err error) {
	l, err := listen()
	if err != nil {
		return "", nil, fmt.Errorf("test registry: %w", err)
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go server.Serve(l) //nolint:errcheck // it ends by closer
	return l.Addr().String(), func() { _ = server.Close() }, nil
}
