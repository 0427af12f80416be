package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/types"
)

const (
	// maxSignature bounds one simple signature, in bytes, and maxSignatures how
	// many an image may have: as in containers/image.
	maxSignature  = 4 << 20
	maxSignatures = 128
)

// Lookaside returns the simple signatures of the image ref, which must have a
// digest, that lie where registries.d says (containers-registries.d(5)), in the
// order of their numbers: of the first of ref's endpoints that has any. None is no
// error. An *Error has the places that could not be read; a place that could not
// be reached is asked again only after a minute.
func (c *Client) Lookaside(ctx context.Context, ref string) ([][]byte, error) {
	d, named, eps, err := c.resolveDigest(ref)
	if err != nil {
		return nil, err
	}
	e := &Error{Op: OpLookaside, Ref: named.String(), Digest: d}
	asked := make(map[string]bool)
	for _, ep := range eps {
		base, err := c.lookasideBase(ep.Ref)
		if err != nil {
			return nil, err
		}
		if asked[base.String()] {
			continue
		}
		asked[base.String()] = true
		sigs, err := c.lookasideAt(ctx, base, d)
		switch {
		case ctx.Err() != nil:
			return nil, failure(ctx, e)
		case err != nil:
			e.Attempts = append(e.Attempts, Attempt{Endpoint: base.Redacted(), Tries: 1, Err: err})
		case len(sigs) > 0:
			return sigs, nil
		}
	}
	if len(e.Attempts) > 0 {
		return nil, failure(ctx, e)
	}
	return nil, nil
}

// lookasideBase is where the signatures of a repository are, by registries.d.
func (c *Client) lookasideBase(ref reference.Named) (*url.URL, error) {
	tr, err := docker.NewReference(ref)
	if err != nil {
		return nil, fmt.Errorf("reference %s: %w", ref, err)
	}
	base, err := docker.SignatureStorageBaseURL(&types.SystemContext{RegistriesDirPath: c.o.RegistriesDir}, tr, false)
	if err != nil {
		return nil, fmt.Errorf("registries.d: %w", err)
	}
	return base, nil
}

// lookasideAt reads signature-1, signature-2, ... of an image until there is none.
func (c *Client) lookasideAt(ctx context.Context, base *url.URL, d digest.Digest) ([][]byte, error) {
	var sigs [][]byte
	for i := 1; ; i++ {
		if i > maxSignatures {
			return nil, fmt.Errorf("more than %d signatures: %w", maxSignatures, ErrSize)
		}
		u := *base
		u.Path += fmt.Sprintf("@%s=%s/signature-%d", d.Algorithm(), d.Encoded(), i)
		sig, err := c.readSignature(ctx, &u)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotFound) {
			return sigs, nil
		}
		if err != nil {
			return nil, err
		}
		sigs = append(sigs, sig)
	}
}

func (c *Client) readSignature(ctx context.Context, u *url.URL) ([]byte, error) {
	var r io.ReadCloser
	var err error
	switch u.Scheme {
	case "file":
		r, err = os.Open(u.Path)
	case "http", "https":
		r, err = c.getSignature(ctx, u)
	default:
		err = fmt.Errorf("signatures at %s: only file, http and https are known", u.Redacted())
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxSignature+1))
	if err == nil && len(data) > maxSignature {
		err = fmt.Errorf("signature of more than %d bytes: %w", maxSignature, ErrSize)
	}
	return data, err
}

// getSignature asks a web server, and again where the failure may pass; not one
// that cannot be reached: few can reach every lookaside server that is configured.
func (c *Client) getSignature(ctx context.Context, u *url.URL) (io.ReadCloser, error) {
	h := c.host(u.Host)
	for round := 0; ; round++ {
		if h.isDown() {
			return nil, errors.New("not asked again: it could not be reached")
		}
		body, err := c.askSignature(ctx, h, u)
		if err == nil || !temporary(err) || h.isDown() || round >= c.o.Retries || ctx.Err() != nil {
			return body, err
		}
		if err := c.o.Sleep(ctx, backoff(round)); err != nil {
			return nil, err
		}
	}
}

func (c *Client) askSignature(ctx context.Context, h *host, u *url.URL) (_ io.ReadCloser, err error) {
	if err := h.acquire(ctx); err != nil {
		return nil, err
	}
	parent := ctx
	ctx, dog := c.newWatchdog(ctx)
	defer func() {
		if err == nil {
			return
		}
		err = clean(dog.reason(err), false, 0)
		if parent.Err() == nil {
			h.reached(!unreachable(err))
		}
		dog.end()
		h.release()
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	client, err := c.pool.Plain(u.Host)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, &StatusError{Status: resp.StatusCode}
	}
	dog.hold()
	return &body{inner: resp.Body, dog: dog, host: h}, nil
}
