package archive_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
)

// leaveOut moves layers, and the tables that only they have, to the base.
func leaveOut(inv *bundle.Inventory, out func(bundle.Blob) bool) {
	inv.Base = &bundle.Base{Inventory: digest.FromString("old"), Release: &bundle.Release{Version: "4.1"}, Blobs: []bundle.Blob{}}
	tables := make(map[digest.Digest]bool)
	for _, b := range inv.Blobs {
		if b.Kind == bundle.KindLayer && out(b) {
			tables[b.Table] = true
		}
	}
	inv.Blobs = slices.DeleteFunc(inv.Blobs, func(b bundle.Blob) bool {
		left := tables[b.Digest] || b.Kind == bundle.KindLayer && out(b)
		if left {
			inv.Base.Blobs = append(inv.Base.Blobs, b)
		}
		return left
	})
}

// TestBase writes a bundle that leaves a layer to its base: what it holds can be
// read and is verified, and its whole inventory is that of the whole bundle.
func TestBase(t *testing.T) {
	t.Parallel()
	full, enc := newSample(t, 1, 1000)
	whole := written(t, full, enc)
	want, err := full.inv.Marshal()
	must(t, err)

	s, enc := newSample(t, 1, 1000)
	shared := s.inv.Images[0].Layers[0].DiffID
	leaveOut(&s.inv, func(b bundle.Blob) bool { return b.Digest == shared })
	out := written(t, s, enc)
	if out.Len() >= whole.Len() {
		t.Errorf("%d bytes, the whole bundle has %d", out.Len(), whole.Len())
	}
	r, err := archive.NewReader(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()))
	must(t, err)
	inv := r.Inventory()
	if n, size := inv.Base.Layers(); n != 1 || size != inv.Images[0].Layers[0].DiffSize {
		t.Errorf("the base has to have %d layers of %d bytes", n, size)
	}
	got, err := inv.Whole().Marshal()
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("the whole inventory is\n%s\nwant\n%s", got, want)
	}
	if w := inv.Whole(); w.Base != nil || w.Whole() != w {
		t.Error("the whole inventory has a base")
	}
	if _, err := r.OpenLayer(t.Context(), shared); !errors.Is(err, bundle.ErrNoBlob) {
		t.Errorf("a layer that is left to the base: %v", err)
	}
	l, err := r.OpenLayer(t.Context(), inv.Images[0].Layers[1].DiffID)
	must(t, err)
	if _, err := io.Copy(io.Discard, l); err != nil {
		t.Error(err)
	}
	must(t, l.Close())
	rep, err := archive.Verify(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()), archive.VerifyOptions{})
	must(t, err)
	if len(rep.Damage) > 0 || rep.Blobs != len(inv.Blobs) {
		t.Errorf("verify: %+v", rep)
	}
	usage := inv.Whole().Usage()
	if usage.Layers != 4 || usage.SharedBytes != inv.Images[0].Layers[0].DiffSize {
		t.Errorf("usage: %+v", usage)
	}
}
