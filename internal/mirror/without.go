package mirror

import (
	"context"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/pull"
)

// WithoutRegistries is src, but for images of the registries, HOST or HOST:PORT as
// references name them: of those it knows no attachments, and asks for none.
func WithoutRegistries(src AttachmentSource, registries []string) AttachmentSource {
	if src == nil || len(registries) == 0 {
		return src
	}
	return without{src, registries}
}

type without struct {
	AttachmentSource
	registries []string
}

func (w without) left(ref string) bool {
	host, _, _ := strings.Cut(ref, "/")
	return slices.Contains(w.registries, host)
}

// Attached implements AttachmentSource.
func (w without) Attached(ctx context.Context, ref, tag string) (pull.Manifest, error) {
	if w.left(ref) {
		return pull.Manifest{}, pull.ErrNotFound
	}
	return w.AttachmentSource.Attached(ctx, ref, tag)
}

// Referrers implements AttachmentSource.
func (w without) Referrers(ctx context.Context, ref string) ([]v1.Descriptor, error) {
	if w.left(ref) {
		return nil, nil
	}
	return w.AttachmentSource.Referrers(ctx, ref)
}

// Lookaside implements AttachmentSource.
func (w without) Lookaside(ctx context.Context, ref string) ([][]byte, error) {
	if w.left(ref) {
		return nil, nil
	}
	return w.AttachmentSource.Lookaside(ctx, ref)
}
