package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
	"github.com/nodeseal/nodeseal/internal/pull/session"
)

// Repository is one repository of one registry, to write to: no mirror is asked. It is
// reached as the Client reaches others: credentials, certificates, bounds and waits are the
// same. It is safe for concurrent use.
type Repository struct {
	c  *Client
	ep mirrors.Endpoint
}

// Repository returns the repository host[:port]/path. The Client should have
// Options.Write.
func (c *Client) Repository(name string) (*Repository, error) {
	named, err := reference.ParseNamed(name)
	if err != nil {
		return nil, fmt.Errorf("repository %q: %w", name, err)
	}
	if !reference.IsNameOnly(named) {
		return nil, fmt.Errorf("repository %q has a tag or a digest", name)
	}
	ep, err := c.resolver.Itself(named)
	if err != nil {
		return nil, err
	}
	return &Repository{c, ep}, nil
}

// Name is host[:port]/path.
func (r *Repository) Name() string { return r.ep.Ref.Name() }

// Path is the part of Name behind the host.
func (r *Repository) Path() string { return reference.Path(r.ep.Ref) }

// Try calls fn, and again after failures that may pass, as often and after such waits as
// the Client tries to read. op, version and d say what fn does: version is ":tag",
// "@digest" or "", d the digest of a blob or "". The error is an *Error.
func (r *Repository) Try(ctx context.Context, op Op, version string, d digest.Digest, fn func(ctx context.Context) error) error {
	e := &Error{Op: op, Ref: r.Name() + version, Digest: d}
	return r.c.try(ctx, e, []mirrors.Endpoint{r.ep}, func(ctx context.Context, _ mirrors.Endpoint) error { return fn(ctx) })
}

// Blob is Client.Blob for the repository itself. The reader takes no slot of Options.MaxPerHost
// away from requests that send: its bytes may be what one of them waits for.
func (r *Repository) Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	b := &blob{
		c: r.c.readers, ctx: ctx, d: d, eps: []mirrors.Endpoint{r.ep}, size: size,
		e: &Error{Op: OpBlob, Ref: r.Name(), Digest: d},
	}
	if size > 0 {
		if err := b.open(); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Request is a request to a Repository.
type Request struct {
	Method string
	// Path is below that of the repository: blobs/uploads/. Location, where it is set, is
	// the whole address: an answer gave it. It may be at another host, which gets no
	// credentials. One of this machine or of a private network, written as a number, must be the
	// registry's own, with any port, or one that registries.conf names, and none may be in
	// clear if the registry is not: else the error wraps ErrAddress.
	Path     string
	Location *url.URL
	Query    url.Values
	Header   http.Header
	// Body opens the Size bytes that are sent; nil sends none. It is called again if a
	// token ended in the meantime. The bytes must be right when the reader ends.
	Body func() (io.ReadCloser, error)
	Size int64
	// Reads is the path of another repository there that the request reads from, to mount a
	// blob; "" is none. Token servers are asked for the right to.
	Reads string
	// Want are the statuses that are no error. With others the error is a *StatusError.
	Want []int
}

// Answer is what a registry says to a Request.
type Answer struct {
	Status int
	Header http.Header
	// Length is that of the body of a GET, or of what a HEAD asks about; -1 if unknown.
	Length int64
	// Body is that of a GET, of at most bundle.MaxSmallBlob bytes.
	Body []byte
	// Location is where to go on, nil if the answer does not say.
	Location *url.URL
}

// leads refuses addresses to which the registry at ep may not have its clients send.
func (c *Client) leads(ep mirrors.Endpoint, scheme string, to *url.URL) error {
	if to.Host == ep.Host() {
		return nil
	}
	elsewhere := fmt.Sprintf("registry %s sends uploads to %.200q", ep.Host(), shown(to.String()))
	if to.Scheme != "http" && to.Scheme != "https" || to.Host == "" || to.User != nil {
		return fmt.Errorf("%s: %w: it is no http or https address", elsewhere, ErrAddress)
	}
	if err := downgrades(&url.URL{Scheme: scheme}, to); err != nil {
		return fmt.Errorf("registry %s: %w", ep.Host(), err)
	}
	if !session.Private(to.Hostname()) || to.Hostname() == hostOf(ep.Host()) {
		return nil
	}
	named, err := c.pool.Named(to.Host)
	if err != nil || !named {
		return errors.Join(fmt.Errorf("%s: %w: it is a private address; to allow it, add [[registry]] location = %q to registries.conf",
			elsewhere, ErrAddress, to.Host), err)
	}
	return nil
}

// led returns a client that leads judges each redirect of: what is written goes nowhere else.
func (c *Client) led(client *http.Client, ep mirrors.Endpoint, scheme string) *http.Client {
	judged := *client
	judged.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("registry %s sends uploads elsewhere more than %d times", ep.Host(), maxRedirects)
		}
		last := via[len(via)-1].URL
		if last.Host == ep.Host() {
			last = &url.URL{Scheme: scheme} // whatever it says: the transport has its own
		}
		return c.leads(ep, last.Scheme, req.URL)
	}
	return &judged
}

// Send sends one request. It is not tried again: see Try.
func (r *Repository) Send(ctx context.Context, q Request) (*Answer, error) {
	if r.ep.Blocked != nil {
		return nil, r.ep.Blocked
	}
	o := &outgoing{method: q.Method, header: q.Header, want: q.Want, reads: q.Reads}
	if o.header == nil {
		o.header = make(http.Header)
	}
	if q.Location != nil {
		o.address = *q.Location
	} else {
		o.address = url.URL{Host: r.ep.Host(), Path: "/v2/" + r.Path() + "/" + q.Path}
	}
	if len(q.Query) > 0 {
		// A Location's own query stays as it is, byte for byte.
		if o.address.RawQuery != "" {
			o.address.RawQuery += "&"
		}
		o.address.RawQuery += q.Query.Encode()
	}
	if q.Body != nil {
		o.body = &upload{open: q.Body, size: q.Size}
	}
	resp, err := r.c.send(ctx, r.ep, o)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := o.body.reason(nil); err != nil {
		return nil, err // it answered before it had all
	}
	a := &Answer{Status: resp.StatusCode, Header: resp.Header, Length: resp.ContentLength}
	if q.Method == http.MethodGet {
		if a.Body, err = readSmall("answer", resp); err != nil {
			return nil, err
		}
	}
	if a.Location, err = resp.Location(); err != nil {
		a.Location = nil // it has none
	}
	return a, nil
}
