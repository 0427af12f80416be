package session

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"sync"

	"go.podman.io/image/v5/pkg/sysregistriesv2"
)

// RealmError says that a registry sends to a token server on a private address that
// the administrator did not name: the registry could let us ask any service within
// the network, with the credentials that are its own.
type RealmError struct {
	// Registry and TokenServer are host[:port].
	Registry, TokenServer string
}

// Error says how the token server is allowed.
func (e *RealmError) Error() string {
	return fmt.Sprintf("registry %s names the token server %s, a private address that is neither the registry's own nor in registries.conf; if it is the right one, add [[registry]] location = %q to registries.conf",
		e.Registry, e.TokenServer, e.TokenServer)
}

// realmParameter finds the realm in a challenge (RFC 6750, section 3).
var realmParameter = regexp.MustCompile(`(?i)\brealm="([^"]*)"`)

// realms lets a registry have its token server at a private address: at its own,
// with any port, or at one that registries.conf names. The registry library
// refuses all but the registry's own host and port, and has no option; so it sees a
// name in the place of an address that is allowed.
type realms struct {
	inner    http.RoundTripper
	registry string // host[:port]
	// named reports whether the administrator named host[:port].
	named func(host string) (bool, error)

	mu    sync.Mutex
	hosts map[string]string // by name, host[:port]
	seen  map[string]bool   // realms, by host[:port] and path
}

// RoundTrip implements http.RoundTripper.
func (r *realms) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	host, ok := r.hosts[req.URL.Host]
	r.mu.Unlock()
	if ok {
		req = req.Clone(req.Context())
		req.URL.Host, req.Host = host, ""
	}
	resp, err := r.inner.RoundTrip(req)
	if err != nil {
		if ok {
			err = fmt.Errorf("token server %s: %w", host, err)
		}
		return nil, err
	}
	if r.isRealm(req.URL) && resp.StatusCode == http.StatusOK {
		if err := checkToken(req, resp); err != nil {
			return nil, err
		}
		return resp, nil
	}
	if req.URL.Host != r.registry || resp.StatusCode != http.StatusUnauthorized {
		return resp, nil
	}
	for i, challenge := range resp.Header.Values("WWW-Authenticate") {
		changed, err := r.challenge(challenge)
		if err != nil {
			_ = resp.Body.Close() // the error says more
			return nil, err
		}
		resp.Header["Www-Authenticate"][i] = changed
	}
	return resp, nil
}

// challenge returns a challenge with a name in the place of a private address.
func (r *realms) challenge(text string) (string, error) {
	at := realmParameter.FindStringSubmatchIndex(text)
	if at == nil {
		return text, nil
	}
	u, err := url.Parse(text[at[2]:at[3]])
	if err == nil {
		r.remember(u)
	}
	if err != nil || u.Host == r.registry || !Private(u.Hostname()) {
		return text, nil // the library judges the rest
	}
	allowed := u.Hostname() == hostname(r.registry)
	if !allowed {
		if allowed, err = r.named(u.Host); err != nil {
			return "", fmt.Errorf("looking for token server %s in registries.conf: %w", u.Host, err)
		}
	}
	if !allowed {
		return "", &RealmError{Registry: r.registry, TokenServer: u.Host}
	}
	u.Host = r.alias(u.Host)
	return text[:at[2]] + u.String() + text[at[3]:], nil
}

// remember notes the address of a token server.
func (r *realms) remember(u *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = make(map[string]bool)
	}
	r.seen[u.Host+u.Path] = true
}

func (r *realms) isRealm(u *url.URL) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[u.Host+u.Path]
}

// alias returns the name that stands for host[:port].
func (r *realms) alias(host string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, h := range r.hosts {
		if h == host {
			return name
		}
	}
	if r.hosts == nil {
		r.hosts = make(map[string]string)
	}
	name := "token-server-" + strconv.Itoa(len(r.hosts)+1) + ".invalid" // RFC 6761: a host of no network
	r.hosts[name] = host
	return name
}

// Private reports whether host is an address of this machine, of its link or of a private
// network, written as a number. Names are not judged.
func Private(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap()
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsUnspecified()
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}

// Named reports whether registries.conf has a registry host[:port].
func (p *Pool) Named(host string) (bool, error) { return p.o.namedHost(host) }

// namedHost reports whether registries.conf has a registry host[:port].
func (o Options) namedHost(host string) (bool, error) {
	reg, err := sysregistriesv2.FindRegistry(o.System, host)
	if err != nil || reg == nil {
		return false, err
	}
	return !reg.Blocked && (reg.Location == host || reg.Prefix == host), nil
}
