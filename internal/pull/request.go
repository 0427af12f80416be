package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
	"github.com/nodeseal/nodeseal/internal/pull/session"
)

// maxErrorBody bounds what is read of an answer that is an error.
const maxErrorBody = 32 << 10

// response is a registry's answer. Its Body watches for a stall, and gives the
// host's slot back when it is closed.
type response struct {
	*http.Response
	Body io.ReadCloser
}

// get sends a request for "manifests" or "blobs" to ep. An answer whose status
// is not among want is a *StatusError. Else the caller closes the Body.
func (c *Client) get(ctx context.Context, ep mirrors.Endpoint, method, kind, version string, header http.Header, want ...int) (*response, error) {
	return c.query(ctx, ep, method, kind, version, nil, header, want...)
}

// query is get with a query.
func (c *Client) query(ctx context.Context, ep mirrors.Endpoint, method, kind, version string, query url.Values, header http.Header, want ...int) (*response, error) {
	if ep.Namespace != "" {
		query = maps.Clone(query)
		if query == nil {
			query = make(url.Values)
		}
		query.Set("ns", ep.Namespace)
	}
	u := url.URL{Host: ep.Host(), Path: "/v2/" + reference.Path(ep.Ref) + "/" + kind + "/" + version, RawQuery: query.Encode()}
	return c.send(ctx, ep, &outgoing{method: method, address: u, header: header, want: want})
}

// outgoing is a request to a registry.
type outgoing struct {
	method  string
	address url.URL // without a scheme that of the registry
	header  http.Header
	body    *upload // nil is none
	want    []int
	reads   string // see Request.Reads
}

// send sends a request to ep. See get.
func (c *Client) send(ctx context.Context, ep mirrors.Endpoint, o *outgoing) (_ *response, err error) {
	h := c.host(ep.Host())
	if err := h.acquire(ctx); err != nil {
		return nil, err
	}
	parent := ctx
	ctx, dog := c.newWatchdog(ctx)
	ctx, asked := session.WithRetryAfter(ctx)
	signIn := true // an error now is not about what is asked for
	defer func() {
		if err == nil {
			return
		}
		err = o.body.reason(clean(dog.reason(err), signIn, asked()))
		if parent.Err() == nil {
			h.reached(!unreachable(err))
		}
		dog.end()
		h.release()
	}()
	client, scheme, err := c.pool.Connect(ctx, ep, o.reads)
	if err != nil {
		return nil, err
	}
	dog.feed()
	if o.address.Scheme == "" {
		o.address.Scheme = scheme
	} else if err := c.leads(ep, scheme, &o.address); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, o.method, o.address.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header = o.header
	o.body.attach(req, dog)
	if o.method != http.MethodGet && o.method != http.MethodHead {
		client = c.led(client, ep, scheme)
	}
	resp, err := client.Do(req)
	if err != nil {
		// A status here is a token server's: the registry's own are no errors.
		return nil, err
	}
	signIn = false
	if !slices.Contains(o.want, resp.StatusCode) {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxErrorBody), resp.Body}
		err := transport.CheckError(resp, o.want...)
		_ = resp.Body.Close() // an error's body: nothing depends on it
		return nil, err
	}
	h.reached(true)
	dog.hold()
	b := &body{inner: resp.Body, dog: dog, host: h, now: c.o.Now}
	if b.now != nil {
		b.rate.window = c.o.StallTimeout
	}
	return &response{resp, b}, nil
}

// body is a response's body.
type body struct {
	inner  io.ReadCloser
	dog    *watchdog
	host   *host
	now    func() time.Time // may be nil
	rate   rate
	closed atomic.Bool
}

// Read counts only the time in which the network is waited for.
func (b *body) Read(p []byte) (int, error) {
	b.dog.feed()
	n, err := b.timed(p)
	b.dog.hold()
	if errors.Is(err, ErrSlow) {
		b.host.reached(false) // others of its requests would be slow, too
		return n, err
	}
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader's contract is the bare io.EOF
		err = b.dog.reason(err)
	}
	return n, err
}

// timed reads, and compares with the least rate.
func (b *body) timed(p []byte) (int, error) {
	if b.now == nil {
		return b.inner.Read(p)
	}
	start := b.now()
	n, err := b.inner.Read(p)
	if slow := b.rate.add(n, b.now().Sub(start)); err == nil {
		err = slow
	}
	return n, err
}

// Close gives the slot back. It may be called twice.
func (b *body) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	b.dog.end() // first: what is left of the body is not worth reading
	err := b.inner.Close()
	b.host.release()
	return err
}

// watchdog ends a context when it was not fed for a while.
type watchdog struct {
	limit  time.Duration
	ctx    context.Context //nolint:containedctx // it is what the watchdog ends
	cancel context.CancelCauseFunc
	timer  Timer
}

func (c *Client) newWatchdog(ctx context.Context) (context.Context, *watchdog) {
	w := &watchdog{limit: c.o.StallTimeout}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = c.o.AfterFunc(w.limit, func() { w.cancel(ErrStalled) })
	return w.ctx, w
}

// feed starts the time anew, hold stops it, end ends the context.
func (w *watchdog) feed() { w.timer.Reset(w.limit) }
func (w *watchdog) hold() { w.timer.Stop() }
func (w *watchdog) end()  { w.timer.Stop(); w.cancel(nil) }

// reason returns why err came, where that is the watchdog.
func (w *watchdog) reason(err error) error {
	if errors.Is(context.Cause(w.ctx), ErrStalled) {
		return fmt.Errorf("%w: no byte for %s", ErrStalled, w.limit)
	}
	return err
}
