package bundle_test

import (
	"bytes"
	_ "crypto/sha512" // for digests that are refused
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/memtest"
	"github.com/nodeseal/nodeseal/layout"
)

func inventoryBytes(t testing.TB, change func(*bundle.Inventory)) []byte {
	t.Helper()
	layer, config, manifest, table := digest.FromString("l"), digest.FromString("c"), digest.FromString("m"), digest.FromString("t")
	inv := &bundle.Inventory{
		Format: bundle.FormatV1, Layers: bundle.Expanded, Encoder: "test",
		Images: []bundle.Image{{
			Ref: "quay.io/a/b@" + manifest.String(), Digest: manifest, Config: bundle.Config{Digest: config, Size: 2},
			Layers: []bundle.Layer{{Digest: digest.FromString("z"), Size: 3, DiffID: layer, DiffSize: 1}},
		}},
		Blobs: []bundle.Blob{
			{Digest: manifest, Size: 1, Kind: bundle.KindManifest}, {Digest: config, Size: 2, Kind: bundle.KindConfig},
			{Digest: table, Size: 3, Kind: bundle.KindFileTable}, {Digest: layer, Size: 1, Kind: bundle.KindLayer, Table: table},
		},
	}
	if change != nil {
		change(inv)
	}
	data, err := inv.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParseInventory(t *testing.T) {
	t.Parallel()
	blob := func(inv *bundle.Inventory, kind bundle.BlobKind) *bundle.Blob {
		for i := range inv.Blobs {
			if inv.Blobs[i].Kind == kind {
				return &inv.Blobs[i]
			}
		}
		return nil
	}
	for name, change := range map[string]func(*bundle.Inventory){
		"another format":         func(inv *bundle.Inventory) { inv.Format = "nodeseal parts v1" },
		"another form of layers": func(inv *bundle.Inventory) { inv.Layers = "squashed" },
		"no reference":           func(inv *bundle.Inventory) { inv.Images[0].Ref = "" },
		"an image twice":         func(inv *bundle.Inventory) { inv.Images = append(inv.Images, inv.Images[0]) },
		"a blob twice":           func(inv *bundle.Inventory) { inv.Blobs = append(inv.Blobs, inv.Blobs[0]) },
		"a blob of two kinds": func(inv *bundle.Inventory) {
			b := *blob(inv, bundle.KindManifest)
			b.Kind = bundle.KindFileTable
			inv.Blobs = append(inv.Blobs, b)
		},
		"a blob of no known kind": func(inv *bundle.Inventory) { blob(inv, bundle.KindConfig).Kind = "poem" },
		"a manifest missing":      func(inv *bundle.Inventory) { inv.Images[0].Digest = digest.FromString("gone") },
		"a layer missing":         func(inv *bundle.Inventory) { inv.Images[0].Layers[0].DiffID = digest.FromString("gone") },
		"a config for a layer":    func(inv *bundle.Inventory) { inv.Images[0].Layers[0].DiffID = inv.Images[0].Config.Digest },
		"no file table":           func(inv *bundle.Inventory) { blob(inv, bundle.KindLayer).Table = "" },
		"a table that is none":    func(inv *bundle.Inventory) { blob(inv, bundle.KindLayer).Table = inv.Images[0].Digest },
		"a size near 2^63":        func(inv *bundle.Inventory) { blob(inv, bundle.KindLayer).Size = math.MaxInt64 - 600 },
		"sizes past 2^63": func(inv *bundle.Inventory) {
			blob(inv, bundle.KindLayer).Size, blob(inv, bundle.KindFileTable).Size = 1<<62, 1<<62
		},
		"a diffSize near 2^63":     func(inv *bundle.Inventory) { inv.Images[0].Layers[0].DiffSize = math.MaxInt64 },
		"a layer's size near 2^63": func(inv *bundle.Inventory) { inv.Images[0].Layers[0].Size = math.MaxInt64 },
		"a negative size":          func(inv *bundle.Inventory) { blob(inv, bundle.KindLayer).Size = -1 },
		"a manifest of 9 MiB":      func(inv *bundle.Inventory) { blob(inv, bundle.KindManifest).Size = 9 << 20 },
		"a digest that is none":    func(inv *bundle.Inventory) { blob(inv, bundle.KindLayer).Digest = "sha256:../../etc/passwd" },
		"sha512":                   func(inv *bundle.Inventory) { inv.Images[0].Config.Digest = digest.SHA512.FromString("c") },
		"an index missing":         func(inv *bundle.Inventory) { inv.Images[0].Index = digest.FromString("gone") },
		"a reference that is a signature's tag": func(inv *bundle.Inventory) {
			inv.Images[0].Ref = "quay.io/a/b:" + bundle.SignatureTag(digest.FromString("other"))
		},
		"the size of a kept layer": func(inv *bundle.Inventory) {
			inv.Images[0].Layers[0].Original = true
			b := blob(inv, bundle.KindLayer)
			b.Digest, b.Size = inv.Images[0].Layers[0].Digest, 4
		},
		"a name that is a signature's tag": func(inv *bundle.Inventory) {
			inv.Images[0].Names = []string{"quay.io/a/b:" + bundle.SignatureTag(digest.FromString("other"))}
		},
	} {
		if _, err := bundle.ParseInventory(bytes.NewReader(inventoryBytes(t, change))); !errors.Is(err, bundle.ErrInventory) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*bundle.Inventory){
		"a good one": nil,
		"a kept layer": func(inv *bundle.Inventory) {
			inv.Images[0].Layers[0].Original = true
			b := blob(inv, bundle.KindLayer)
			b.Digest, b.Size = inv.Images[0].Layers[0].Digest, 3
		},
		"a kept layer of which the manifest says the size wrongly": func(inv *bundle.Inventory) {
			inv.Images[0].Layers[0].Original, inv.Images[0].Layers[0].TrueSize = true, 4
			b := blob(inv, bundle.KindLayer)
			b.Digest, b.Size = inv.Images[0].Layers[0].Digest, 4
		},
	} {
		if _, err := bundle.ParseInventory(bytes.NewReader(inventoryBytes(t, change))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A text of 32 MiB that says next to nothing is refused before memory is taken for what it lists.
func TestParseInventoryBombs(t *testing.T) {
	head := `{"format":"nodeseal bundle v1","layers":"original",`
	image := `{"ref":"r","digest":"d","config":{"digest":"c"},`
	for name, c := range map[string]struct{ before, each, after string }{
		"images":          {head + `"images":[`, `{},`, `{}]}`},
		"blobs":           {head + `"blobs":[`, `{},`, `{}]}`},
		"layers":          {head + `"images":[` + image + `"layers":[`, `{},`, `{}]}]}`},
		"origins":         {head + `"images":[` + image + `"from":[`, `{},`, `{}]}]}`},
		"names":           {head + `"images":[` + image + `"names":[`, `"",`, `""]}]}`},
		"attached blobs":  {head + `"images":[` + image + `"attachments":[{"kind":"k","blobs":[`, `"",`, `""]}]}]}`},
		"base":            {head + `"base":{"blobs":[`, `{},`, `{}]}}`},
		"unknown members": {head + `"x":{`, `"":0,`, `"":0}}`},
		"brackets":        {head + `"x":`, `[`, ``},
		"blanks":          {head, ` `, `"images":[]}`},
	} {
		n := (bundle.MaxInventory - len(c.before) - len(c.after)) / len(c.each)
		doc := []byte(c.before + strings.Repeat(c.each, n) + c.after)
		var err error
		took := memtest.Allocated(func() { _, err = bundle.ParseInventoryBytes(doc) })
		if !errors.Is(err, bundle.ErrInventory) && name != "blanks" || took > 128<<20 {
			t.Errorf("%s: %d MiB and %.200v", name, took>>20, err)
		}
	}
}

// index.json is what package layout writes of the same entries.
func TestWriteIndex(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*bundle.Inventory){
		"one":       func(*bundle.Inventory) {},
		"names":     func(inv *bundle.Inventory) { inv.Images[0].Names = []string{"quay.io/a/b:<1>", "quay.io/a/b:2"} },
		"no images": func(inv *bundle.Inventory) { inv.Images = nil },
		"original":  func(inv *bundle.Inventory) { inv.Layers = bundle.Original },
	} {
		var inv bundle.Inventory
		inventoryBytes(t, func(i *bundle.Inventory) { change(i); inv = *i })
		got, err := inv.IndexBytes()
		if err != nil {
			t.Fatal(err)
		}
		index, err := layout.ParseIndex(bytes.NewReader(got))
		if err != nil {
			t.Fatalf("%s: %v: %s", name, err, got)
		}
		want, err := layout.MarshalIndex(index)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
		}
		names := 0
		for i := range inv.Images {
			names += 1 + len(inv.Images[i].Names)
		}
		if len(index.Manifests) != names {
			t.Errorf("%s: %d entries, want %d", name, len(index.Manifests), names)
		}
	}
}

// What is parsed can be written and parsed again.
func FuzzParseInventory(f *testing.F) {
	f.Add(inventoryBytes(f, nil))
	f.Add([]byte(`{"format":"nodeseal bundle v1","layers":"original","images":[],"blobs":[]}`))
	f.Add(inventoryBytes(f, func(inv *bundle.Inventory) { leaveOut(inv, func(bundle.Blob) bool { return true }) }))
	f.Add([]byte(`{"format":1}`))
	f.Add(memtest.Repeat(1<<20, `{"format":"nodeseal bundle v1","layers":"original","images":[`, `{},`, `{}]}`))
	f.Add(memtest.Repeat(1<<20, `{"format":"nodeseal bundle v1","layers":"original","images":[{"ref":"r","digest":"d","config":{"digest":"c"},"names":[`, `"",`, `""]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var inv *bundle.Inventory
		var err error
		memtest.Hold(t, 16*int64(len(data))+32<<20, func() { inv, err = bundle.ParseInventory(bytes.NewReader(data)) })
		if err != nil {
			if !errors.Is(err, bundle.ErrInventory) {
				t.Fatalf("an error of its own: %v", err)
			}
			return
		}
		again, err := inv.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.ParseInventory(bytes.NewReader(again)); err != nil {
			t.Fatalf("written again: %v", err)
		}
		inv.Usage()
		if err := inv.Whole().Validate(); err != nil {
			t.Fatalf("the whole inventory: %v", err)
		}
		if err := inv.WriteIndex(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
}
