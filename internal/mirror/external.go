package mirror

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// externalSource is a Source that can ask other addresses than a registry's. External is as
// pull.Client's.
type externalSource interface {
	External(ctx context.Context, ref string, urls []string, d digest.Digest, size, offset int64) (io.ReadCloser, error)
}

// openBlob opens the layer at offset: at the registry of ref, or, if j has addresses, there.
func (r *run) openBlob(ctx context.Context, ref string, j *job, offset int64) (io.ReadCloser, error) {
	if src, ok := r.src.(externalSource); ok && len(j.urls) > 0 {
		return src.External(ctx, ref, j.urls, j.layer.Digest, j.layer.Size, offset)
	}
	return r.src.Blob(ctx, ref, j.layer.Digest, j.layer.Size, offset)
}

// elsewhere reports whether the manifest names other addresses for the layer, which are asked
// from then on. The digest proves what comes from there.
func (r *run) elsewhere(j *job) bool {
	if _, ok := r.src.(externalSource); !ok || len(j.urls) > 0 {
		return false
	}
	data, err := r.work.Small(j.manifest)
	if err != nil {
		return false // it was proven: the registry's answer says more than a disk that fails now
	}
	var m v1.Manifest
	if err := jsonbound.Unmarshal(data, &m); err != nil {
		return false
	}
	for _, l := range m.Layers {
		if l.Digest == j.layer.Digest {
			j.urls = append(j.urls, l.URLs...)
		}
	}
	return len(j.urls) > 0
}
