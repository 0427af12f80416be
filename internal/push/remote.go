package push

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/layout"
)

// remote is the registry, and what is known of it.
type remote struct {
	client *pull.Client
	report progress.Func

	mu           sync.Mutex
	repositories map[string]*pull.Repository
	states       map[digest.Digest]*state
	total        int64 // bytes to send, of the phase
	sent         Amount
	mounted      Amount
}

// state is where a blob is. Work on a blob is one after the other: what is sent to one
// repository is mounted into the others, if the registry does that.
type state struct {
	lock chan struct{} // of one; held while the blob is sent
	in   map[string]bool
}

// Amount is a number of blobs, and their bytes.
type Amount struct {
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

func (a *Amount) add(n int64) {
	a.Blobs++
	a.Bytes += n
}

func newRemote(client *pull.Client, report progress.Func) *remote {
	return &remote{
		client: client, report: report,
		repositories: make(map[string]*pull.Repository), states: make(map[digest.Digest]*state),
	}
}

func (r *remote) repository(name string) (*pull.Repository, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	repo := r.repositories[name]
	if repo == nil {
		var err error
		if repo, err = r.client.Repository(name); err != nil {
			return nil, err
		}
		r.repositories[name] = repo
	}
	return repo, nil
}

func (r *remote) state(d digest.Digest) *state {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.states[d]
	if s == nil {
		s = &state{lock: make(chan struct{}, 1), in: make(map[string]bool)}
		r.states[d] = s
	}
	return s
}

// look asks whether a blob is in a repository, and notes it.
func (r *remote) look(ctx context.Context, repository string, b *blob) (bool, error) {
	repo, err := r.repository(repository)
	if err != nil {
		return false, err
	}
	there := false
	err = repo.Try(ctx, pull.OpFindBlob, "", b.digest, func(ctx context.Context) error {
		a, err := repo.Send(ctx, pull.Request{Method: http.MethodHead, Path: "blobs/" + b.digest.String(), Want: []int{http.StatusOK}})
		if errors.Is(err, pull.ErrNotFound) {
			return nil
		}
		// One of another length is not the blob, whatever the registry says.
		there = err == nil && (a.Length < 0 || a.Length == b.size)
		return err
	})
	if there {
		s := r.state(b.digest)
		r.mu.Lock()
		s.in[repository] = true
		r.mu.Unlock()
	}
	return there, err
}

// ensure brings a blob into a repository if it is not there.
func (r *remote) ensure(ctx context.Context, repository string, b *blob) error {
	s := r.state(b.digest)
	select {
	case s.lock <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.lock }()
	r.mu.Lock()
	others := slices.Sorted(maps.Keys(s.in))
	r.mu.Unlock()
	if slices.Contains(others, repository) {
		return nil
	}
	repo, err := r.repository(repository)
	if err != nil {
		return err
	}
	var t transfer
	err = repo.Try(ctx, pull.OpSendBlob, "", b.digest, func(ctx context.Context) error {
		return r.send(ctx, repo, others, b, &t)
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.in[repository] = true
	return nil
}

// send mounts a blob, or sends it: out of the bundle, or out of another repository if the
// bundle leaves it to its base.
func (r *remote) send(ctx context.Context, repo *pull.Repository, others []string, b *blob, t *transfer) error {
	var from *pull.Repository
	if len(others) > 0 {
		var err error
		if from, err = r.repository(others[0]); err != nil {
			return err
		}
	}
	begun, err := begin(ctx, repo, from, b)
	switch {
	case err != nil:
		return err
	case begun.Status == http.StatusCreated && from != nil:
		r.count(&r.mounted, b.size)
		return nil
	case begun.Location == nil:
		return errUpload
	case b.open == nil && from == nil:
		return errLeft
	}
	open := b.open
	if open == nil {
		open = func(ctx context.Context) (io.ReadCloser, error) { return fetch(ctx, from, b) }
	}
	if from != nil && !t.raised { // mounting was refused: there is more to send than was thought
		t.raised = true
		r.raise(b.size)
	}
	content, err := repo.Send(ctx, pull.Request{
		Method: http.MethodPatch, Location: begun.Location, Size: b.size,
		Header: http.Header{"Content-Type": {"application/octet-stream"}},
		Body: func() (io.ReadCloser, error) {
			body, err := open(ctx)
			if err != nil {
				return nil, err
			}
			return &counting{ReadCloser: body, most: &t.most, report: r.report}, nil
		},
		Want: []int{http.StatusAccepted, http.StatusCreated, http.StatusNoContent},
	})
	if err != nil {
		return err
	}
	if content.Location == nil {
		content.Location = begun.Location
	}
	// Only now are all bytes known to be right.
	whole, err := repo.Send(ctx, pull.Request{
		Method: http.MethodPut, Location: content.Location, Query: url.Values{"digest": {b.digest.String()}},
		Header: http.Header{"Content-Type": {"application/octet-stream"}},
		Want:   []int{http.StatusCreated, http.StatusNoContent},
	})
	if err != nil {
		return err
	}
	if is := whole.Header.Get("Docker-Content-Digest"); is != "" && is != b.digest.String() {
		return &RewrittenError{Name: "blob of " + repo.Name(), Want: b.digest.String(), Got: is}
	}
	r.count(&r.sent, b.size)
	return nil
}

// begin asks the registry to take a blob from another repository, if there is one that has it,
// and to begin an upload if it does not.
func begin(ctx context.Context, repo, from *pull.Repository, b *blob) (*pull.Answer, error) {
	q := pull.Request{Method: http.MethodPost, Path: "blobs/uploads/", Want: []int{http.StatusAccepted}}
	if from == nil {
		return repo.Send(ctx, q)
	}
	mount := q
	mount.Query = url.Values{"mount": {b.digest.String()}, "from": {from.Path()}}
	mount.Reads, mount.Want = from.Path(), []int{http.StatusCreated, http.StatusAccepted}
	a, err := repo.Send(ctx, mount)
	if errors.Is(err, pull.ErrUnauthorized) || errors.Is(err, pull.ErrDenied) || errors.Is(err, pull.ErrNotFound) {
		return repo.Send(ctx, q) // from may not be read so
	}
	return a, err
}

// fetch opens a blob of the registry. The reader holds the bytes to the digest.
func fetch(ctx context.Context, from *pull.Repository, b *blob) (io.ReadCloser, error) {
	body, err := from.Blob(ctx, b.digest, b.size)
	if err != nil {
		return nil, &CopyError{From: from.Name(), Err: err}
	}
	return &copied{body, layout.NewVerifier(body, b.digest, b.size), from.Name()}, nil
}

// copied names the repository in its errors.
type copied struct {
	io.Closer
	verified io.Reader
	from     string
}

// Read implements io.Reader.
func (c *copied) Read(p []byte) (int, error) {
	n, err := c.verified.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &CopyError{From: c.from, Err: err}
	}
	return n, err
}

func (r *remote) count(a *Amount, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.add(n)
}

// raise adds to what is to be sent.
func (r *remote) raise(n int64) {
	r.mu.Lock()
	r.total += n
	total := r.total
	r.mu.Unlock()
	r.report.Begin(phasePush, total, progress.Bytes)
}

// transfer is how far a blob was sent, over all tries.
type transfer struct {
	most   atomic.Int64
	raised bool
}

var (
	errUpload = errors.New("the registry does not say where to send the bytes")
	errLeft   = errors.New("the bundle leaves the blob to its base, and no repository is known to have it")
)

// counting reports how far a blob was sent. What is sent again counts once.
type counting struct {
	io.ReadCloser
	at     int64
	most   *atomic.Int64
	report progress.Func
}

// Read implements io.Reader.
func (c *counting) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.at += int64(n)
	if more := c.at - c.most.Load(); more > 0 {
		c.most.Store(c.at)
		c.report.Add(phasePush, more)
	}
	return n, err
}

// manifest returns what is under a tag or digest, nil if nothing is.
func (r *remote) manifest(ctx context.Context, repo *pull.Repository, version, mediaType string) (data []byte, err error) {
	err = repo.Try(ctx, pull.OpFindManifest, versioned(version), "", func(ctx context.Context) error {
		a, err := repo.Send(ctx, pull.Request{
			Method: http.MethodGet, Path: "manifests/" + version, Header: http.Header{"Accept": {mediaType}}, Want: []int{http.StatusOK},
		})
		if errors.Is(err, pull.ErrNotFound) {
			return nil
		}
		if err == nil {
			data = a.Body
		}
		return err
	})
	return data, err
}

// hasManifest asks whether an image of a list is in a repository.
func (r *remote) hasManifest(ctx context.Context, repository string, m v1.Descriptor) (there bool, err error) {
	repo, err := r.repository(repository)
	if err != nil {
		return false, err
	}
	version := m.Digest.String()
	err = repo.Try(ctx, pull.OpFindManifest, versioned(version), "", func(ctx context.Context) error {
		_, err := repo.Send(ctx, pull.Request{
			Method: http.MethodHead, Path: "manifests/" + version, Header: http.Header{"Accept": {m.MediaType}}, Want: []int{http.StatusOK},
		})
		there = err == nil
		if errors.Is(err, pull.ErrNotFound) {
			return nil
		}
		return err
	})
	return there, err
}

// put stores a manifest under tags, or under its digest if there are none, unless it is there.
// subject reports whether the registry keeps lists of referrers itself.
func (r *remote) put(ctx context.Context, repository string, doc document, version string) (subject bool, err error) {
	repo, err := r.repository(repository)
	if err != nil {
		return false, err
	}
	has, err := r.manifest(ctx, repo, version, doc.mediaType)
	if err != nil {
		return false, err
	}
	if bytes.Equal(has, doc.data) && doc.subject == "" {
		return false, nil
	}
	err = repo.Try(ctx, pull.OpSendManifest, versioned(version), "", func(ctx context.Context) error {
		a, err := repo.Send(ctx, pull.Request{
			Method: http.MethodPut, Path: "manifests/" + version, Size: int64(len(doc.data)),
			Header: http.Header{"Content-Type": {doc.mediaType}},
			Body:   func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(doc.data)), nil },
			Want:   []int{http.StatusCreated, http.StatusOK, http.StatusAccepted},
		})
		if err == nil {
			subject = a.Header.Get("OCI-Subject") != ""
		}
		return err
	})
	if err != nil {
		return false, err
	}
	if has, err = r.manifest(ctx, repo, version, doc.mediaType); err != nil {
		return false, err
	}
	if got := digest.FromBytes(has); got != digest.FromBytes(doc.data) {
		return false, &RewrittenError{Name: repository + versioned(version), Want: digest.FromBytes(doc.data).String(), Got: got.String()}
	}
	return subject, nil
}

// versioned is a tag or digest as it stands in a reference.
func versioned(version string) string {
	if digest.Digest(version).Validate() == nil {
		return "@" + version
	}
	return ":" + version
}
