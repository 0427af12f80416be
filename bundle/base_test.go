package bundle_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
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

// TestBaseRefused: what an inventory with a base must not say.
func TestBaseRefused(t *testing.T) {
	t.Parallel()
	layer := func(bundle.Blob) bool { return true }
	for name, change := range map[string]func(*bundle.Inventory){
		"no digest":             func(inv *bundle.Inventory) { inv.Base.Inventory = "old" },
		"a manifest left to it": func(inv *bundle.Inventory) { move(inv, bundle.KindManifest) },
		"a layer of nobody":     func(inv *bundle.Inventory) { inv.Base.Blobs = inv.Base.Blobs[:1] },
		"no table":              func(inv *bundle.Inventory) { inv.Base.Blobs = inv.Base.Blobs[1:] },
		"a layer in both":       func(inv *bundle.Inventory) { inv.Blobs = append(inv.Blobs, inv.Base.Blobs...) },
		"a layer twice":         func(inv *bundle.Inventory) { inv.Base.Blobs = append(inv.Base.Blobs, inv.Base.Blobs[1]) },
		"a layer here, its table there": func(inv *bundle.Inventory) {
			inv.Blobs, inv.Base.Blobs = append(inv.Blobs, inv.Base.Blobs[1]), inv.Base.Blobs[:1]
		},
		"a negative size":    func(inv *bundle.Inventory) { inv.Base.Blobs[1].Size = -1 },
		"an unknown kind":    func(inv *bundle.Inventory) { inv.Base.Blobs[1].Kind = "poem" },
		"a digest of a sort": func(inv *bundle.Inventory) { inv.Base.Blobs[0].Digest = "sha256:../../etc/passwd" },
	} {
		data := inventoryBytes(t, func(inv *bundle.Inventory) { leaveOut(inv, layer); change(inv) })
		if _, err := bundle.ParseInventory(bytes.NewReader(data)); !errors.Is(err, bundle.ErrInventory) {
			t.Errorf("%s: %v", name, err)
		}
	}
	data := inventoryBytes(t, func(inv *bundle.Inventory) { leaveOut(inv, layer) })
	if _, err := bundle.ParseInventory(bytes.NewReader(data)); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

func move(inv *bundle.Inventory, kind bundle.BlobKind) {
	i := slices.IndexFunc(inv.Blobs, func(b bundle.Blob) bool { return b.Kind == kind })
	inv.Base.Blobs = append(inv.Base.Blobs, inv.Blobs[i])
	inv.Blobs = slices.Delete(inv.Blobs, i, i+1)
}
