// Package session opens ways into registries: connections with the right
// certificates, the scheme that a registry speaks, credentials and tokens.
package session

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/types"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

// userAgent is what registries see of us.
const userAgent = "nodeseal"

// transportKey names the connections to one host: with and without verified
// certificates are never mixed.
type transportKey struct {
	host     string
	insecure bool
}

// hostTransport makes and keeps the connections to one host. err is why it cannot.
type hostTransport struct {
	rt  http.RoundTripper
	err error
}

// sessionKey names a session: tokens are for one repository, or to bring blobs of reads into it.
type sessionKey struct {
	repository string
	reads      string
	insecure   bool
	plainHTTP  bool
}

// session is the way into one repository of one host: scheme, credentials, token.
type session struct {
	lock   chan struct{} // of one; held while the session is opened
	client *http.Client  // nil until it is open
	scheme string
}

// Options say how sessions are opened.
type Options struct {
	// System names auth.json and registries.conf (for its credential helpers).
	System *types.SystemContext
	// CertDir replaces the folders certs.d of the system; see certFolder.
	CertDir string
	// Write asks for the right to write, too.
	Write bool
	// IdlePerHost is how many idle connections to a host are kept.
	IdlePerHost int
	// Timeout bounds the making of a connection, and the handshake on it.
	Timeout time.Duration
	// HelperTime bounds a look-up of credentials; 0 is 30 seconds.
	HelperTime time.Duration
}

// Pool keeps connections and sessions. It is safe for concurrent use.
type Pool struct {
	o Options

	mu         sync.Mutex
	transports map[transportKey]*hostTransport
	sessions   map[sessionKey]*session
	hung       map[string]*HelperError // by registry
}

// New returns an empty Pool.
func New(o Options) *Pool {
	return &Pool{
		o:          o,
		transports: make(map[transportKey]*hostTransport),
		sessions:   make(map[sessionKey]*session),
		hung:       make(map[string]*HelperError),
	}
}

func (p *Pool) session(ep mirrors.Endpoint, reads string) *session {
	key := sessionKey{ep.Ref.Name(), reads, ep.Insecure, ep.PlainHTTP}
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.sessions[key]
	if !ok {
		s = &session{lock: make(chan struct{}, 1)}
		p.sessions[key] = s
	}
	return s
}

// Connect opens the session to ep's repository, where it is not open yet, and
// returns a client that authenticates (again, when a token ends) with the
// scheme that the registry speaks. Concurrent callers share one handshake; a
// failure is not kept. reads is the path of another repository there that tokens are to
// allow to read, "" if there is none.
func (p *Pool) Connect(ctx context.Context, ep mirrors.Endpoint, reads string) (*http.Client, string, error) {
	s := p.session(ep, reads)
	select {
	case s.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	defer func() { <-s.lock }()
	if s.client != nil {
		return s.client, s.scheme, nil
	}
	auth, err := p.credentials(ctx, ep)
	if err != nil {
		return nil, "", err
	}
	ht := p.transport(ep)
	if ht.err != nil {
		return nil, "", ht.err
	}
	rt, scheme, err := p.o.handshake(ctx, ep, reads, auth, ht.rt)
	if err != nil {
		return nil, "", err
	}
	s.client, s.scheme = &http.Client{Transport: &renewed{inner: rt}}, scheme
	return s.client, s.scheme, nil
}

// handshake finds out which scheme and which kind of authentication the
// registry wants: HTTPS first, and plain HTTP only where that is allowed.
func (o Options) handshake(ctx context.Context, ep mirrors.Endpoint, reads string, auth authn.Authenticator, inner http.RoundTripper) (http.RoundTripper, string, error) {
	try := func(scheme string) (http.RoundTripper, error) {
		var opts []name.Option
		if scheme == "http" {
			opts = append(opts, name.Insecure)
		}
		reg, err := name.NewRegistry(ep.Host(), opts...)
		if err != nil {
			return nil, err
		}
		tokens := &realms{inner: forceScheme{scheme, ep.Host(), ownBody{inner}}, registry: ep.Host(), named: o.namedHost}
		rt := transport.NewUserAgent(tokens, userAgent)
		scope := "repository:" + reference.Path(ep.Ref) + ":pull"
		if o.Write {
			scope += ",push"
		}
		scopes := []string{scope} // first, since some token servers look at no other
		if reads != "" {
			scopes = append(scopes, "repository:"+reads+":pull")
		}
		return transport.NewWithContext(ctx, reg, auth, rt, scopes)
	}
	rt, err := try("https")
	if err == nil {
		return rt, "https", nil
	}
	var status *transport.Error
	var certificate *tls.CertificateVerificationError
	if !ep.PlainHTTP || ctx.Err() != nil || errors.As(err, &status) || errors.As(err, &certificate) {
		return nil, "", err
	}
	rt, plainErr := try("http")
	switch {
	case plainErr == nil:
		return rt, "http", nil
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(plainErr, &status):
		return nil, "", plainErr
	}
	return nil, "", err
}

// forceScheme sends every request to the registry host by one scheme. The
// registry library would fall back to plain HTTP for whole address ranges, and
// while HTTPS is merely slow.
type forceScheme struct {
	scheme, host string
	inner        http.RoundTripper
}

func (f forceScheme) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == f.host && req.URL.Scheme != f.scheme {
		req = req.Clone(req.Context())
		req.URL.Scheme = f.scheme
	}
	return f.inner.RoundTrip(req)
}

// transport returns the connections to ep's host.
func (p *Pool) transport(ep mirrors.Endpoint) *hostTransport {
	// The folder is named by the host as references name it.
	return p.transportOf(transportKey{ep.Host(), ep.Insecure}, reference.Domain(ep.Ref))
}

// transportOf returns the connections of a key, with the certificates of a folder.
func (p *Pool) transportOf(key transportKey, folder string) *hostTransport {
	p.mu.Lock()
	defer p.mu.Unlock()
	ht, ok := p.transports[key]
	if !ok {
		ht = &hostTransport{}
		var tc *tls.Config
		tc, ht.err = p.o.tlsConfig(folder, key.insecure)
		ht.rt = observer{newTransport(tc, p.o)}
		p.transports[key] = ht
	}
	return ht
}

// Plain returns a client of a web server that is no registry, with the
// authorities and client certificates of the host's folder, and no credentials.
func (p *Pool) Plain(host string) (*http.Client, error) {
	ht := p.transportOf(transportKey{host: host}, host)
	if ht.err != nil {
		return nil, ht.err
	}
	return &http.Client{Transport: ht.rt}, nil
}

// newTransport speaks HTTP/1.1: big blobs come faster by a connection each
// than as streams of one, and a stalled one ends alone.
func newTransport(tc *tls.Config, o Options) *http.Transport {
	dialer := &net.Dialer{Timeout: min(30*time.Second, o.Timeout), KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     tc,
		TLSHandshakeTimeout: min(30*time.Second, o.Timeout),
		MaxIdleConnsPerHost: o.IdlePerHost,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true, // bytes must come as they are stored
	}
}
