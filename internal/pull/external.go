package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

const (
	// maxAddresses bounds how many addresses of a layer are asked.
	maxAddresses = 8
	// maxRedirects bounds how often one of them may send elsewhere.
	maxRedirects = 5
)

// ErrAddress is wrapped when an address of a layer is not asked.
var ErrAddress = errors.New("this address is not asked")

// External opens blob d, which is size bytes long, at offset, from the first of the addresses
// that answers: what the manifest of ref says of a layer that its registry need not have (urls).
// At most eight are asked, by http and https only and without credentials. Redirects are followed
// in the same way, five times at most and never from https to http. An address of this machine or of its
// link is not asked (ErrAddress) unless a registry of ref is there, and one of a private network,
// written as a number, unless a registry of ref is there or registries.conf names it.
// The reader ends early if the connection breaks: the caller calls External again. It does not hash.
func (c *Client) External(ctx context.Context, ref string, urls []string, d digest.Digest, size, offset int64) (io.ReadCloser, error) {
	if len(urls) == 0 {
		return nil, fmt.Errorf("blob %s: no address: %w", d, ErrNotFound)
	}
	_, eps, err := c.resolve(ref)
	if err != nil {
		return nil, err
	}
	var failed []error
	for i, address := range urls {
		if i == maxAddresses {
			failed = append(failed, fmt.Errorf("blob %s: %d more addresses: %w: %d are enough", d, len(urls)-i, ErrAddress, maxAddresses))
			break
		}
		body, err := c.external(ctx, eps, address, size, offset)
		if err == nil {
			return body, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		failed = append(failed, fmt.Errorf("blob %s at %.200q: %w", d, shown(address), err))
	}
	return nil, errors.Join(failed...)
}

// shown is an address without what it says of a user.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(not an address)"
	}
	u.User = nil
	return u.String()
}

// external opens what is at an address.
func (c *Client) external(ctx context.Context, eps []mirrors.Endpoint, address string, size, offset int64) (_ io.ReadCloser, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not a URL", ErrAddress)
	}
	h := c.host(u.Host)
	if err := h.acquire(ctx); err != nil {
		return nil, err
	}
	ctx, dog := c.newWatchdog(ctx)
	defer func() {
		if err != nil {
			err = dog.reason(err)
			dog.end()
			h.release()
		}
	}()
	answer, err := c.follow(ctx, eps, u, size, offset)
	if err != nil {
		return nil, err
	}
	dog.hold()
	resp := &response{answer, &body{inner: answer.Body, dog: dog, host: h, now: c.o.Now}}
	var skip int64
	if answer.StatusCode != http.StatusOK && (offset == 0 || answer.StatusCode != http.StatusPartialContent) {
		err = fmt.Errorf("it answers %s: %w", answer.Status, ErrNotFound)
	} else if skip, err = checkExtent(resp, size, offset); err == nil && skip > 0 {
		_, err = io.CopyN(io.Discard, answer.Body, skip)
	}
	if err != nil {
		return nil, errors.Join(err, answer.Body.Close())
	}
	return resp.Body, nil
}

// follow asks an address, and where it sends.
func (c *Client) follow(ctx context.Context, eps []mirrors.Endpoint, u *url.URL, size, offset int64) (*http.Response, error) {
	for range maxRedirects + 1 {
		answer, err := c.ask(ctx, eps, u, size, offset)
		if err != nil {
			return nil, err
		}
		switch answer.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return answer, nil
		}
		to, err := answer.Location()
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			return nil, fmt.Errorf("it sends elsewhere: %w", err)
		}
		if err := downgrades(u, to); err != nil {
			return nil, err
		}
		u = to
	}
	return nil, fmt.Errorf("it sends elsewhere more than %d times", maxRedirects)
}

// downgrades refuses what would be asked in clear after it was not.
func downgrades(from, to *url.URL) error {
	if from.Scheme == "https" && to.Scheme != "https" {
		return fmt.Errorf("it sends to %.200q: %w: it is not https", shown(to.String()), ErrAddress)
	}
	return nil
}

// ask asks one address. Each has a connection of its own, with no session of a registry:
// nothing of those is sent.
func (c *Client) ask(ctx context.Context, eps []mirrors.Endpoint, u *url.URL, size, offset int64) (*http.Response, error) {
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%.200q: %w: it is no http or https address", shown(u.String()), ErrAddress)
	}
	here := func(host string) bool { return registryAt(eps, host) }
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.Unmap().IsPrivate() && !here(u.Hostname()) {
		if named, err := c.pool.Named(u.Host); err != nil || !named {
			return nil, errors.Join(fmt.Errorf("%s: %w: it is one of a private network; to allow it, add [[registry]] location = %q to registries.conf", u.Host, ErrAddress, u.Host), err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, size-1))
	}
	proxy, err := http.ProxyFromEnvironment(req)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true, DisableCompression: true}
	if proxy == nil { // else the proxy's address is dialled, and the proxy decides
		transport.Proxy = nil
		transport.DialContext = (&net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
			return checkDialled(address, here(u.Hostname()) || here(hostOf(address)))
		}}).DialContext
	} else if err := checkDialled(net.JoinHostPort(u.Hostname(), "0"), here(u.Hostname())); err != nil {
		return nil, err
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return client.Do(req)
}

// checkDialled refuses the addresses of this machine and of its link, whatever name led there;
// names are not judged.
func checkDialled(address string, here bool) error {
	addr, err := netip.ParseAddr(hostOf(address))
	if err != nil || here {
		return nil
	}
	addr = addr.Unmap()
	if addr.IsLoopback() || addr.IsUnspecified() || addr.IsLinkLocalUnicast() || addr.IsMulticast() {
		return fmt.Errorf("%s: %w: it is one of this machine or of its link, and the registry is not there", addr, ErrAddress)
	}
	return nil
}

// registryAt reports whether one of the endpoints is at host.
func registryAt(eps []mirrors.Endpoint, host string) bool {
	for _, ep := range eps {
		if ep.Blocked == nil && hostOf(ep.Host()) == host {
			return true
		}
	}
	return false
}

// hostOf is the host of a host[:port].
func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}
