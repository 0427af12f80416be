package bundle_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
)

// tellByDelta leaves the layers to the base, and puts a delta into the bundle for each.
func tellByDelta(inv *bundle.Inventory) {
	leaveOut(inv, func(bundle.Blob) bool { return true })
	inv.Base.Blobs = slices.DeleteFunc(inv.Base.Blobs, func(b bundle.Blob) bool {
		if b.Kind == bundle.KindFileTable {
			inv.Blobs = append(inv.Blobs, b)
			return true
		}
		d := bundle.Blob{Digest: digest.FromString("delta of " + b.Digest.String()), Size: 7, Kind: bundle.KindDelta}
		inv.Blobs = append(inv.Blobs, d)
		inv.Base.Deltas = append(inv.Base.Deltas, bundle.Delta{Layer: b.Digest, Delta: d.Digest, From: []digest.Digest{digest.FromString("older")}})
		return false
	})
	inv.SetFormat()
}

func TestDeltas(t *testing.T) {
	t.Parallel()
	full := inventoryBytes(t, func(*bundle.Inventory) {})
	inv, err := bundle.ParseInventory(bytes.NewReader(inventoryBytes(t, tellByDelta)))
	if err != nil {
		t.Fatal(err)
	}
	if inv.Format != bundle.FormatV2 || !slices.Equal(inv.Requires, []string{bundle.FeatureContentDeltas}) {
		t.Errorf("format %q requires %q", inv.Format, inv.Requires)
	}
	if whole, err := inv.Whole().Marshal(); err != nil || !bytes.Equal(whole, full) {
		t.Errorf("the whole inventory is not that of the full bundle: %v", err)
	}
	delta := func(inv *bundle.Inventory) *bundle.Blob {
		return &inv.Blobs[slices.IndexFunc(inv.Blobs, func(b bundle.Blob) bool { return b.Kind == bundle.KindDelta })]
	}
	first := func(inv *bundle.Inventory) *bundle.Delta { return &inv.Base.Deltas[0] }
	for name, change := range map[string]func(*bundle.Inventory){
		"no feature":              func(inv *bundle.Inventory) { inv.Requires = nil },
		"format 1":                func(inv *bundle.Inventory) { inv.Format = bundle.FormatV1 },
		"no such delta":           func(inv *bundle.Inventory) { first(inv).Delta = digest.FromString("none") },
		"the delta is a manifest": func(inv *bundle.Inventory) { first(inv).Delta = inv.Images[0].Digest },
		"no such layer":           func(inv *bundle.Inventory) { first(inv).Layer = digest.FromString("none") },
		"a delta without a layer": func(inv *bundle.Inventory) { inv.Base.Deltas = nil; inv.SetFormat() },
		"a layer twice":           func(inv *bundle.Inventory) { inv.Base.Deltas = append(inv.Base.Deltas, *first(inv)) },
		"from twice":              func(inv *bundle.Inventory) { first(inv).From = append(first(inv).From, first(inv).From...) },
		"from no digest":          func(inv *bundle.Inventory) { first(inv).From[0] = "../../etc" },
		"a negative size":         func(inv *bundle.Inventory) { delta(inv).Size = -1 },
		"a size beyond all":       func(inv *bundle.Inventory) { delta(inv).Size = bundle.MaxBlob + 1 },
		"a table of the delta":    func(inv *bundle.Inventory) { delta(inv).Table = digest.FromString("none") },
		"no base":                 func(inv *bundle.Inventory) { inv.Base = nil },
		"a blob of two kinds":     func(inv *bundle.Inventory) { delta(inv).Digest = inv.Images[0].Digest },
		"the table is left out": func(inv *bundle.Inventory) {
			i := slices.IndexFunc(inv.Blobs, func(b bundle.Blob) bool { return b.Kind == bundle.KindFileTable })
			inv.Base.Blobs = append(inv.Base.Blobs, inv.Blobs[i])
			inv.Blobs = slices.Delete(inv.Blobs, i, i+1)
		},
	} {
		data := inventoryBytes(t, func(inv *bundle.Inventory) { tellByDelta(inv); change(inv) })
		if _, err := bundle.ParseInventory(bytes.NewReader(data)); !errors.Is(err, bundle.ErrInventory) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
