// Package pull reads manifests and blobs from registries as CRI-O on a node
// would: mirrors, blocks and insecure registries of registries.conf,
// credentials of auth.json, certificates of certs.d. It is made for long runs
// over bad networks: it retries, honours Retry-After, resumes blobs where they
// broke off, and bounds what it asks of one registry at once.
package pull

import (
	"context"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
	"github.com/nodeseal/nodeseal/internal/pull/session"
)

// Client reads from registries. It is safe for concurrent use. It need not be
// closed.
//
// References are normalised ones (imagelist.Normalize), with a tag or a
// digest. One with both goes by its digest, as in CRI-O. Every method asks the
// mirrors of a reference in their order and then the registry that it names;
// failures that may pass are tried again in rounds over all endpoints, with
// growing waits between them. Errors of the methods are *Error, but for
// references and arguments that make no sense.
type Client struct {
	o        Options
	resolver *mirrors.Resolver
	pool     *session.Pool

	mu       sync.Mutex
	hosts    map[string]*host
	served   map[digest.Digest]map[string]bool // by which endpoints
	rejected map[digest.Digest]map[string]bool

	// readers has slots of its own: see Repository.Blob. It has no readers.
	readers *Client
}

// New returns a Client. It reads registries.conf now; later changes of it are
// not seen.
func New(o Options) (*Client, error) {
	if err := o.checkFiles(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	sys := o.systemContext()
	resolver, err := mirrors.New(sys, o.Mirrors, o.TLSVerify)
	if err != nil {
		return nil, err
	}
	pool := session.New(session.Options{System: sys, CertDir: o.CertDir, IdlePerHost: o.MaxPerHost, Timeout: o.StallTimeout, Write: o.Write})
	c := newClient(o, resolver, pool)
	c.readers = newClient(o, resolver, pool)
	return c, nil
}

func newClient(o Options, resolver *mirrors.Resolver, pool *session.Pool) *Client {
	return &Client{
		o:        o,
		resolver: resolver,
		pool:     pool,
		hosts:    make(map[string]*host),
		served:   make(map[digest.Digest]map[string]bool),
		rejected: make(map[digest.Digest]map[string]bool),
	}
}

// parseRef reads a normalised reference, without its tag where it has a digest.
func parseRef(ref string) (reference.Named, error) {
	named, err := reference.ParseNamed(ref)
	if err != nil {
		return nil, fmt.Errorf("reference %q: %w", ref, err)
	}
	if d, ok := named.(reference.Digested); ok {
		if d.Digest().Algorithm() != digest.SHA256 {
			return nil, fmt.Errorf("reference %q: only sha256 digests are supported", ref)
		}
		canonical, err := reference.WithDigest(reference.TrimNamed(named), d.Digest())
		if err != nil {
			return nil, fmt.Errorf("reference %q: %w", ref, err)
		}
		return canonical, nil
	}
	if reference.IsNameOnly(named) {
		return nil, fmt.Errorf("reference %q has neither a tag nor a digest", ref)
	}
	return named, nil
}

// version returns what stands in the path of a manifest: digest or tag.
func version(ref reference.Named) string {
	switch r := ref.(type) {
	case reference.Digested:
		return r.Digest().String()
	case reference.Tagged:
		return r.Tag()
	}
	return ""
}

// Reject says that the bytes of blob d which Blob gave were not those that d
// names. The endpoints that served them are asked for d only after all others
// from now on. A caller that hashes a blob calls it before it tries again.
func (c *Client) Reject(d digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ep := range c.served[d] {
		if c.rejected[d] == nil {
			c.rejected[d] = make(map[string]bool)
		}
		c.rejected[d][ep] = true
	}
	delete(c.served, d)
}

func (c *Client) noteServed(d digest.Digest, ep mirrors.Endpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.served[d] == nil {
		c.served[d] = make(map[string]bool)
	}
	c.served[d][ep.Ref.Name()] = true
}

func (c *Client) isRejected(d digest.Digest, ep mirrors.Endpoint) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rejected[d][ep.Ref.Name()]
}

// host returns what is shared by all requests to a registry host.
func (c *Client) host(name string) *host {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.hosts[name]
	if !ok {
		h = newHost(c.o.MaxPerHost)
		c.hosts[name] = h
	}
	return h
}

// failure completes e, the failure of an operation.
func failure(ctx context.Context, e *Error) error {
	e.Err = ctx.Err()
	if e.Err == nil {
		e.Err = verdict(e.Attempts)
	}
	return e
}
