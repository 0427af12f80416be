package archive_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/layout"
)

// TestOpenLayerVerifies reads a layer whose frames are whole, with right checksums, and
// have other bytes than the layer's digest names.
func TestOpenLayerVerifies(t *testing.T) {
	t.Parallel()
	s, enc := newSample(t, 1, 1000)
	layer := s.inv.Images[0].Layers[0]
	other := bytes.Repeat([]byte("x"), int(layer.DiffSize))
	var frames bytes.Buffer
	w := enc.NewWriter(t.Context(), &frames)
	must(t, errors.Join(writeAll(w, other), archive.PadContent(w, layer.DiffSize)))
	var err error
	s.sizes[layer.DiffID], err = w.Close()
	must(t, err)
	s.frames[layer.DiffID] = frames.Bytes()
	out := written(t, s, enc)
	r, err := archive.NewReader(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()))
	must(t, err)

	l, err := r.OpenLayer(t.Context(), layer.DiffID)
	must(t, err)
	var damage *bundle.DamageError
	if _, err := io.ReadAll(l); !errors.As(err, &damage) || damage.Blob != layer.DiffID || !errors.Is(err, bundle.ErrDamaged) || !errors.Is(err, layout.ErrDigest) {
		t.Errorf("other bytes end in %v, want damage of the layer", err)
	}
	must(t, l.Close())

	raw, err := r.OpenLayerUnverified(t.Context(), layer.DiffID)
	must(t, err)
	got, err := io.ReadAll(raw)
	must(t, err)
	if !bytes.Equal(got, other) {
		t.Error("the unverified bytes are not those of the bundle")
	}
	must(t, raw.Close())
}
