package pull

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

// maxPages bounds the pages of one list of referrers.
const maxPages = 100

// Attached fetches the manifest under tag in the repository of ref, which must
// have a digest. A tag of this kind belongs to the digest, so mirrors that are for
// digests only are asked for it too. Where Manifest got ref from says whether
// there is one (ErrNotFound); other endpoints are asked once, and what fails there
// does not count: a mirror that is gone, or a source that cannot be reached, must
// not hold up what concerns images that came from elsewhere.
func (c *Client) Attached(ctx context.Context, ref, tag string) (Manifest, error) {
	d, named, eps, err := c.resolveDigest(ref)
	if err != nil {
		return Manifest{}, err
	}
	tagged, err := withTag(named, tag)
	if err != nil {
		return Manifest{}, err
	}
	eps = slices.Clone(eps)
	for i := range eps {
		if eps[i].Ref, err = withTag(eps[i].Ref, tag); err != nil {
			return Manifest{}, err
		}
	}
	var m Manifest
	err = c.beside(ctx, &Error{Op: OpManifest, Ref: tagged.String()}, eps, d, func(ctx context.Context, ep mirrors.Endpoint, _ bool) error {
		var err error
		m, err = c.manifest(ctx, ep)
		return err
	})
	if err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// Referrers returns what refers to the manifest ref, which must have a digest: the
// descriptors that the referrers API gives, or, where a registry has no such API,
// those of the index under the tag sha256-<hex>. The endpoints are asked as by
// Attached, until one has any. None is no error.
func (c *Client) Referrers(ctx context.Context, ref string) ([]v1.Descriptor, error) {
	d, named, eps, err := c.resolveDigest(ref)
	if err != nil {
		return nil, err
	}
	var found []v1.Descriptor
	err = c.beside(ctx, &Error{Op: OpReferrers, Ref: named.String()}, eps, d, func(ctx context.Context, ep mirrors.Endpoint, home bool) error {
		var err error
		found, err = c.referrers(ctx, ep, d, home)
		if err == nil && len(found) == 0 {
			err = ErrNotFound // another endpoint may have some
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	return found, nil
}

// resolveDigest is resolve for references by digest.
func (c *Client) resolveDigest(ref string) (digest.Digest, reference.Named, []mirrors.Endpoint, error) {
	named, eps, err := c.resolve(ref)
	if err != nil {
		return "", nil, nil, err
	}
	digested, ok := named.(reference.Digested)
	if !ok {
		return "", nil, nil, fmt.Errorf("reference %q has no digest", ref)
	}
	return digested.Digest(), named, eps, nil
}

func withTag(named reference.Named, tag string) (reference.Named, error) {
	tagged, err := reference.WithTag(reference.TrimNamed(named), tag)
	if err != nil {
		return nil, fmt.Errorf("reference %s: tag %q: %w", named, tag, err)
	}
	return tagged, nil
}

// asideError is the failure of an endpoint whose failures do not count. It hides
// what it was, so that nothing is tried again.
type asideError struct{ what string }

// Error implements error.
func (e asideError) Error() string { return e.what }

// beside calls fn with the endpoints, as try does, for something that belongs to
// the manifest d. home says that the endpoint gave the manifest.
func (c *Client) beside(ctx context.Context, e *Error, eps []mirrors.Endpoint, d digest.Digest, fn func(ctx context.Context, ep mirrors.Endpoint, home bool) error) error {
	c.mu.Lock()
	homes := make(map[string]bool, len(c.served[d]))
	for name := range c.served[d] {
		homes[name] = true
	}
	c.mu.Unlock()
	missing := false // at home
	err := c.try(ctx, e, eps, func(ctx context.Context, ep mirrors.Endpoint) error {
		home := homes[ep.Ref.Name()]
		aside := len(homes) > 0 && !home
		if aside && c.host(ep.Host()).isDown() {
			return asideError{"not asked again: it could not be reached"}
		}
		err := fn(ctx, ep, home)
		switch {
		case err == nil, ctx.Err() != nil:
		case errors.Is(err, ErrNotFound):
			missing = missing || home
		case aside:
			return asideError{err.Error()}
		}
		return err
	})
	if err != nil && missing && ctx.Err() == nil {
		e.Err = ErrNotFound
	}
	return err
}

// referrers asks one endpoint for what refers to d.
func (c *Client) referrers(ctx context.Context, ep mirrors.Endpoint, d digest.Digest, home bool) ([]v1.Descriptor, error) {
	h := c.host(ep.Host())
	if !h.noReferrers.Load() {
		found, err := c.referrersAPI(ctx, ep, d)
		if err == nil || !lacksAPI(err) {
			return found, err
		}
		if home { // elsewhere it is perhaps only the repository that is not there
			h.noReferrers.Store(true)
		}
	}
	tagged, err := withTag(ep.Ref, strings.Replace(d.String(), ":", "-", 1))
	if err != nil {
		return nil, err
	}
	ep.Ref = tagged
	m, err := c.manifest(ctx, ep)
	if err != nil {
		return nil, err
	}
	if m.MediaType != v1.MediaTypeImageIndex {
		return nil, nil // a tag of somebody's that only looks so
	}
	return parseReferrers(m.Bytes)
}

// errNoIndex is an answer to a question for referrers that is none.
var errNoIndex = errors.New("no list of referrers")

// lacksAPI reports an answer of a registry that does not know the referrers API.
// By the specification that is a 404; some say otherwise that they do not
// understand.
func lacksAPI(err error) bool {
	var status *StatusError
	if errors.As(err, &status) && !status.SignIn {
		switch status.Status {
		case http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
			return true
		}
	}
	return errors.Is(err, errNoIndex)
}

// referrersAPI reads all pages of the referrers API, which together are not longer than one may be.
func (c *Client) referrersAPI(ctx context.Context, ep mirrors.Endpoint, d digest.Digest) ([]v1.Descriptor, error) {
	var found []v1.Descriptor
	var query url.Values
	left := bundle.MaxSmallBlob
	for range maxPages {
		page, size, next, err := c.referrersPage(ctx, ep, d, query)
		if err != nil {
			return nil, err
		}
		if left -= size; left < 0 {
			return nil, fmt.Errorf("referrers of more than %d bytes: %w", bundle.MaxSmallBlob, ErrSize)
		}
		found = append(found, page...)
		if next == nil {
			return found, nil
		}
		query = next
	}
	return nil, fmt.Errorf("referrers on more than %d pages: %w", maxPages, ErrSize)
}

func (c *Client) referrersPage(ctx context.Context, ep mirrors.Endpoint, d digest.Digest, query url.Values) (_ []v1.Descriptor, size int, next url.Values, err error) {
	header := http.Header{"Accept": {v1.MediaTypeImageIndex}}
	resp, err := c.query(ctx, ep, http.MethodGet, "referrers", d.String(), query, header, http.StatusOK)
	if err != nil {
		return nil, 0, nil, err
	}
	defer resp.Body.Close()
	if withoutParameters(resp.Header.Get("Content-Type")) != v1.MediaTypeImageIndex {
		return nil, 0, nil, errNoIndex // a web page, mostly
	}
	data, err := readSmall("list of referrers", resp)
	if err != nil {
		return nil, 0, nil, err
	}
	found, err := parseReferrers(data)
	return found, len(data), nextPage(resp.Header.Get("Link")), err
}

// nextPage returns the query of the next page, nil where there is none. Where the
// page is, nobody but ourselves says.
func nextPage(link string) url.Values {
	target, params, ok := strings.Cut(link, ">")
	target, opened := strings.CutPrefix(strings.TrimSpace(target), "<")
	if !ok || !opened || !strings.Contains(strings.ReplaceAll(params, `"`, ""), "rel=next") {
		return nil
	}
	u, err := url.Parse(target)
	if err != nil || len(u.Query()) == 0 {
		return nil
	}
	return u.Query()
}

func parseReferrers(data []byte) ([]v1.Descriptor, error) {
	var index v1.Index
	if err := jsonbound.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("list of referrers: %w: %w", ErrMediaType, err)
	}
	return index.Manifests, nil
}
