package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/opencontainers/go-digest"
)

// External opens blob d, which is size bytes long, at offset, from the first of the addresses
// that answers: what a manifest says of a layer that its registry need not have (urls). They
// are asked without credentials, by http and https only. The reader ends early if the
// connection breaks: who reads it calls External again. It does not hash.
func (c *Client) External(ctx context.Context, urls []string, d digest.Digest, size, offset int64) (io.ReadCloser, error) {
	if len(urls) == 0 {
		return nil, fmt.Errorf("blob %s: no address: %w", d, ErrNotFound)
	}
	var failed []error
	for _, address := range urls {
		body, err := c.external(ctx, address, size, offset)
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
func (c *Client) external(ctx context.Context, address string, size, offset int64) (_ io.ReadCloser, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) {
		return nil, errors.New("it is no http or https address")
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, size-1))
	}
	// A connection of its own, with no session of a registry: nothing of those is sent.
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, DisableCompression: true}}
	answer, err := client.Do(req)
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
