package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/opencontainers/go-digest"
)

// OriginalsDir holds the layers of images that are kept as the registry has them, each
// under its digest. The seal treats them as layers' contents: the folder is immutable, the
// files are not, so that the next store can have hard links to them.
const OriginalsDir = OwnDir + "/layers/sha256"

// OriginalMode is the mode of those files.
const OriginalMode = 0o644

// Original is a layer as the registry has it, which the store keeps besides its contents.
type Original struct {
	Digest digest.Digest
	Size   int64
	// Image is a reference that needs it, for messages, and Title that image's name for people.
	Image, Title string
	// Small says that the source has it among its small blobs.
	Small bool
}

// Path returns where it is, below the store.
func (o Original) Path() string { return OriginalPath(o.Digest) }

// OriginalPath returns where the layer that the registry has under d is, below the store.
func OriginalPath(d digest.Digest) string { return path.Join(OriginalsDir, d.Encoded()) }

// Originals returns what is kept of the images, sorted by digest, each layer once.
func Originals(images []bundle.Image) []Original {
	byDigest := make(map[digest.Digest]Original)
	for i := range images {
		if images[i].Exact() {
			addOriginals(byDigest, &images[i])
		}
	}
	return sortedOriginals(byDigest)
}

func addOriginals(to map[digest.Digest]Original, img *bundle.Image) {
	for _, l := range img.Layers {
		if _, ok := to[l.Digest]; !ok {
			to[l.Digest] = Original{Digest: l.Digest, Size: l.RegistrySize(), Image: img.Ref, Title: imagelist.Title(img.Ref, img.From)}
		}
	}
}

func sortedOriginals(byDigest map[digest.Digest]Original) []Original {
	return slices.SortedFunc(maps.Values(byDigest), func(a, b Original) int {
		return strings.Compare(a.Digest.String(), b.Digest.String())
	})
}

// addOriginals adds what is kept of img. Its manifest, which is proven, has the sizes: two
// for one digest are refused.
func (p *planner) addOriginals(img *bundle.Image) error {
	if !img.Exact() {
		return nil
	}
	for _, l := range img.Layers {
		if old, ok := p.originals[l.Digest]; ok && old.Size != l.RegistrySize() {
			return damaged("reading inventory", l.Digest, img, fmt.Errorf("the layer has two sizes, %d and %d", old.Size, l.RegistrySize()))
		}
	}
	addOriginals(p.originals, img)
	for _, l := range img.Layers {
		o := p.originals[l.Digest]
		o.Small = p.blobs[l.Digest].Kind.Small()
		p.originals[l.Digest] = o
	}
	return nil
}

// OpenSource opens the original in the source. The bytes are not proven.
func (o Original) OpenSource(ctx context.Context, src Source) (io.ReadCloser, error) {
	if !o.Small {
		return src.OpenLayerUnverified(ctx, o.Digest)
	}
	data, err := src.ReadBlob(ctx, o.Digest)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// OpenOriginal opens the layer that the registry has under d, if the store keeps it: else
// the error wraps ErrUnknown. The bytes are not verified. The caller closes it.
func (s *Store) OpenOriginal(d digest.Digest) (*os.File, error) {
	if err := bundle.CheckDigest(d); err != nil {
		return nil, fmt.Errorf("layer %q: %w", d, ErrUnknown)
	}
	f, err := s.fsys.Open(OriginalPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("layer %s, as a registry has it: %w", d, ErrUnknown)
	}
	if err != nil {
		return nil, fmt.Errorf("layer %s, as a registry has it: %w", d, err)
	}
	file, ok := f.(*os.File)
	if !ok {
		return nil, errors.Join(fmt.Errorf("layer %s: %w", d, errors.ErrUnsupported), f.Close())
	}
	return file, nil
}
