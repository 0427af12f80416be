package mirror

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
)

// sizer is a Source that can say how long a blob is. BlobSize is as pull.Client's.
type sizer interface {
	BlobSize(ctx context.Context, ref string, d digest.Digest) (int64, error)
}

// sizeOf is what the source says of the length of a blob; false if it says nothing that can be.
func (r *run) sizeOf(ctx context.Context, ref string, d digest.Digest) (int64, bool) {
	src, ok := r.src.(sizer)
	if !ok {
		return 0, false
	}
	size, err := src.BlobSize(ctx, ref, d)
	return size, err == nil && size >= 0 && size <= bundle.MaxBlob
}

// resize fetches a layer again, which has failed with err, by each other size that somebody
// gives it: the source, and the other images that have it. A manifest's word is a hint, as it
// is for nodes: the digest proves the layer.
func (r *run) resize(ctx context.Context, ref string, j *job, err error, fetch func() error) error {
	likely := j.layer.Size
	tried := []int64{likely}
	others := slices.Clone(j.sizes)
	said, ok := r.sizeOf(ctx, ref, j.layer.Digest)
	if ok {
		others = slices.Insert(others, 0, said)
	}
	for _, size := range others {
		if slices.Contains(tried, size) {
			continue
		}
		tried = append(tried, size)
		j.layer.Size = size
		again := fetch()
		if again == nil {
			return nil
		}
		if ok && size == said {
			likely, err = size, again // why it is wrong, and no longer how long it is
		}
		if len(tried) > maxSizes {
			break
		}
	}
	j.layer.Size = likely
	return err
}

// maxSizes bounds by how many sizes a layer is asked for again.
const maxSizes = 4

// saySizes says which images are wrong about the size of a layer that was fetched.
func (r *run) saySizes(j *job) {
	for i, size := range j.sizes {
		if size != j.layer.Size {
			r.o.Progress.Warn(fmt.Sprintf("%s says that layer %s has %d bytes: it has %d", j.refs[i], j.layer.Digest, size, j.layer.Size))
		}
	}
}
