package pull

import (
	"context"
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

// BlobSize asks the registry how many bytes blob d has: for manifests that say it
// wrongly or not at all. What it answers is as good as the manifest's word: only the
// digest proves a blob. The error is an *Error; it wraps ErrSize if the registry does
// not say.
func (c *Client) BlobSize(ctx context.Context, ref string, d digest.Digest) (size int64, err error) {
	named, eps, err := c.resolve(ref)
	if err != nil {
		return 0, err
	}
	err = c.try(ctx, &Error{Op: OpBlob, Ref: named.String(), Digest: d}, eps, func(ctx context.Context, ep mirrors.Endpoint) error {
		resp, err := c.get(ctx, ep, http.MethodHead, "blobs", d.String(), http.Header{}, http.StatusOK)
		if err != nil {
			return err
		}
		_ = resp.Body.Close() // empty
		if size = resp.ContentLength; size < 0 {
			return fmt.Errorf("the registry does not say how long it is: %w", ErrSize)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return size, nil
}
