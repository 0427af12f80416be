package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/manifest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

// Manifest is an image manifest or a list of them, byte for byte as the
// registry gave it.
type Manifest struct {
	// Digest is of Bytes (for a signed schema 1 manifest: of its payload).
	Digest digest.Digest
	// MediaType is the manifest's, without parameters; one of MediaTypes.
	MediaType string
	Bytes     []byte
}

// MediaTypes are the kinds of manifests that a Client asks for and returns:
// Docker schema 2 and its list, OCI manifest and index, and schema 1, which
// only serves to say that it is one.
func MediaTypes() []string {
	return []string{
		v1.MediaTypeImageManifest,
		v1.MediaTypeImageIndex,
		manifest.DockerV2Schema2MediaType,
		manifest.DockerV2ListMediaType,
		manifest.DockerV2Schema1SignedMediaType,
		manifest.DockerV2Schema1MediaType,
	}
}

// Manifest fetches the manifest or list that ref names. Its bytes are those of
// the digest, where ref has one (else ErrDigest), they are at most
// bundle.MaxSmallBlob (else ErrSize), and they are of the MediaType (else
// ErrMediaType).
func (c *Client) Manifest(ctx context.Context, ref string) (Manifest, error) {
	named, eps, err := c.resolve(ref)
	if err != nil {
		return Manifest{}, err
	}
	var m Manifest
	err = c.try(ctx, &Error{Op: OpManifest, Ref: named.String()}, eps, func(ctx context.Context, ep mirrors.Endpoint) error {
		var err error
		if m, err = c.manifest(ctx, ep); err == nil {
			c.noteServed(m.Digest, ep)
		}
		return err
	})
	if err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// Head resolves ref to a digest without the manifest's bytes, where the
// registry can. MediaType and Size are what the registry says, unverified, and
// may be empty.
func (c *Client) Head(ctx context.Context, ref string) (v1.Descriptor, error) {
	named, eps, err := c.resolve(ref)
	if err != nil {
		return v1.Descriptor{}, err
	}
	var desc v1.Descriptor
	err = c.try(ctx, &Error{Op: OpHead, Ref: named.String()}, eps, func(ctx context.Context, ep mirrors.Endpoint) error {
		var err error
		desc, err = c.head(ctx, ep)
		return err
	})
	if err != nil {
		return v1.Descriptor{}, err
	}
	return desc, nil
}

// resolve reads a reference and finds its endpoints.
func (c *Client) resolve(ref string) (reference.Named, []mirrors.Endpoint, error) {
	named, err := parseRef(ref)
	if err != nil {
		return nil, nil, err
	}
	eps, err := c.resolver.Endpoints(named)
	if err != nil {
		return nil, nil, err
	}
	return named, eps, nil
}

func acceptManifests() http.Header {
	return http.Header{"Accept": {strings.Join(MediaTypes(), ", ")}}
}

// manifest fetches and checks the manifest at one endpoint.
func (c *Client) manifest(ctx context.Context, ep mirrors.Endpoint) (Manifest, error) {
	resp, err := c.get(ctx, ep, http.MethodGet, "manifests", version(ep.Ref), acceptManifests(), http.StatusOK)
	if err != nil {
		return Manifest{}, err
	}
	defer resp.Body.Close()
	data, err := readSmall("manifest", resp)
	if err != nil {
		return Manifest{}, err
	}
	m, err := checkManifest(data, resp.Header, ep.Ref)
	if err != nil {
		if page := webPage("manifest", resp.Response, data); page != nil {
			return Manifest{}, page
		}
		return Manifest{}, err
	}
	if said, ok := contentDigest(resp.Header); ok && said != m.Digest {
		// Nodes do not look at the header: a tag is as good as the registry is.
		c.o.Log.Warn("the registry says a wrong digest of a manifest", "ref", ep.Ref, "said", said, "is", m.Digest)
	}
	return m, err
}

// readSmall reads the body of an answer, at most bundle.MaxSmallBlob bytes.
func readSmall(what string, resp *response) ([]byte, error) {
	if resp.ContentLength > bundle.MaxSmallBlob {
		return nil, fmt.Errorf("%s of %d bytes, more than %d: %w", what, resp.ContentLength, bundle.MaxSmallBlob, ErrSize)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, bundle.MaxSmallBlob+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", what, err)
	case len(data) > bundle.MaxSmallBlob:
		return nil, fmt.Errorf("%s of more than %d bytes: %w", what, bundle.MaxSmallBlob, ErrSize)
	}
	return data, nil
}

// checkManifest holds the bytes of a manifest against the digest that was
// asked for, if any, and its media type.
func checkManifest(data []byte, header http.Header, ref reference.Named) (Manifest, error) {
	// The library looks into the document before its digest is known to be right.
	if err := jsonbound.Check(data); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w: %w", ErrMediaType, err)
	}
	actual, err := manifest.Digest(data)
	if err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w: %w", ErrDigest, err)
	}
	if want, ok := ref.(reference.Digested); ok {
		if actual != want.Digest() {
			return Manifest{}, fmt.Errorf("manifest has %s: %w", actual, ErrDigest)
		}
	}
	mt, err := mediaType(data, header.Get("Content-Type"))
	if err != nil {
		return Manifest{}, err
	}
	return Manifest{Digest: actual, MediaType: mt, Bytes: data}, nil
}

// contentDigest returns the sha256 digest that a registry names.
func contentDigest(header http.Header) (digest.Digest, bool) {
	d := digest.Digest(header.Get("Docker-Content-Digest"))
	return d, d.Validate() == nil && d.Algorithm() == digest.SHA256
}

// head resolves the reference at one endpoint, by the whole manifest where the
// registry does not answer HEAD or names no digest.
func (c *Client) head(ctx context.Context, ep mirrors.Endpoint) (v1.Descriptor, error) {
	resp, err := c.get(ctx, ep, http.MethodHead, "manifests", version(ep.Ref), acceptManifests(), http.StatusOK)
	var status *StatusError
	switch {
	case errors.As(err, &status) && (status.Status == http.StatusMethodNotAllowed || status.Status == http.StatusNotImplemented):
		return c.headByGet(ctx, ep)
	case err != nil:
		return v1.Descriptor{}, err
	}
	_ = resp.Body.Close() // empty
	said, ok := contentDigest(resp.Header)
	if !ok {
		return c.headByGet(ctx, ep)
	}
	if want, ok := ep.Ref.(reference.Digested); ok && said != want.Digest() {
		return v1.Descriptor{}, fmt.Errorf("the registry says %s: %w", said, ErrDigest)
	}
	return v1.Descriptor{
		MediaType: withoutParameters(resp.Header.Get("Content-Type")),
		Digest:    said,
		Size:      max(0, resp.ContentLength),
	}, nil
}

func (c *Client) headByGet(ctx context.Context, ep mirrors.Endpoint) (v1.Descriptor, error) {
	m, err := c.manifest(ctx, ep)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Bytes))}, nil
}
