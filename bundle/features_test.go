package bundle_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
)

// original makes the image of inventoryBytes one whose bytes are kept.
func original(inv *bundle.Inventory) {
	layer := &inv.Images[0].Layers[0]
	inv.Images[0].Original, layer.Original = true, true
	for i := range inv.Blobs {
		if inv.Blobs[i].Kind == bundle.KindLayer {
			inv.Blobs[i].Digest, inv.Blobs[i].Size = layer.Digest, layer.Size
		}
	}
	inv.SetFormat()
}

func TestOriginal(t *testing.T) {
	t.Parallel()
	data := inventoryBytes(t, original)
	inv, err := bundle.ParseInventory(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if inv.Format != bundle.FormatV2 || len(inv.Requires) != 1 || inv.Requires[0] != bundle.FeatureOriginalLayers {
		t.Errorf("format %q requires %q", inv.Format, inv.Requires)
	}
	img := &inv.Images[0]
	if got := inv.LayerBlob(img.Layers[0]); got != img.Layers[0].Digest {
		t.Errorf("the layer is under %s, want the registry's %s", got, img.Layers[0].Digest)
	}
	index, err := inv.Index()
	if err != nil || len(index.Manifests) != 1 || index.Manifests[0].Digest != img.Digest {
		t.Errorf("the index names %v, %v, want the registry's own manifest", index.Manifests, err)
	}
	if again, err := inv.Whole().Marshal(); err != nil || !bytes.Equal(again, data) {
		t.Errorf("written again it is another inventory: %v", err)
	}
	for name, change := range map[string]func(*bundle.Inventory){
		"no feature":       func(inv *bundle.Inventory) { inv.Requires = nil },
		"format 1":         func(inv *bundle.Inventory) { inv.Format = bundle.FormatV1 },
		"a layer is not":   func(inv *bundle.Inventory) { inv.Images[0].Layers[0].Original = false },
		"the image is not": func(inv *bundle.Inventory) { inv.Images[0].Original = false },
	} {
		data := inventoryBytes(t, func(inv *bundle.Inventory) { original(inv); change(inv) })
		if _, err := bundle.ParseInventory(bytes.NewReader(data)); !errors.Is(err, bundle.ErrInventory) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A layer that an image which is kept has too is held once, as the registry has it; the
// readable manifest of the other image says so.
func TestReadableShared(t *testing.T) {
	t.Parallel()
	img := bundle.Image{Layers: []bundle.Layer{
		{Digest: "sha256:a", Size: 3, DiffID: "sha256:b", DiffSize: 9, MediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip", Original: true},
		{Digest: "sha256:c", Size: 4, DiffID: "sha256:d", DiffSize: 8, MediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip"},
	}}
	data, err := img.Readable()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:a","size":3}`,
		`{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:d","size":8}`,
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s lacks %s", data, want)
		}
	}
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*bundle.Inventory)
		want   string
	}{
		"a later format": {func(inv *bundle.Inventory) { inv.Format = "nodeseal bundle v9" }, `"nodeseal bundle v9"`},
		"unknown features": {func(inv *bundle.Inventory) {
			original(inv)
			inv.Requires = append(inv.Requires, "time-travel", "deltas")
		}, `"deltas", "time-travel"`},
		"unknown features of a format without any": {func(inv *bundle.Inventory) { inv.Requires = []string{"deltas"} }, `"deltas"`},
		"a later format with features":             {func(inv *bundle.Inventory) { inv.Format, inv.Requires = "nodeseal bundle v3", []string{"deltas"} }, `"deltas"`},
	} {
		data := bytes.Replace(inventoryBytes(t, tt.change), []byte(`"images"`), []byte(`"pictures"`), 1)
		_, err := bundle.ParseInventory(bytes.NewReader(data))
		var unsupported *bundle.UnsupportedError
		if !errors.As(err, &unsupported) || errors.Is(err, bundle.ErrInventory) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an UnsupportedError with %s", name, err, tt.want)
		}
	}
	long := &bundle.UnsupportedError{Features: make([]string, 1000)}
	for i := range long.Features {
		long.Features[i] = strings.Repeat("x", 1<<20)
	}
	if n := len(long.Error()); n > 1<<10 {
		t.Errorf("the text of an error has %d bytes", n)
	}
}

// An inventory says which release reads it; anything but a release is not shown.
func TestNeeds(t *testing.T) {
	t.Parallel()
	for needs, want := range map[string]string{
		"v1.4.0":                        "not known here: nodeseal v1.4.0 or later is needed",
		"":                              "not known here: a later version of nodeseal is needed",
		"v1.4":                          "not known here: a later version of nodeseal is needed",
		"v1.4.0; rm -r /":               "not known here: a later version of nodeseal is needed",
		"v1." + strings.Repeat("4", 99): "not known here: a later version of nodeseal is needed",
	} {
		data := inventoryBytes(t, func(inv *bundle.Inventory) { inv.Format, inv.Requires = bundle.FormatV2, []string{"time-travel"} })
		data = bytes.Replace(data, []byte("{"), []byte(`{"needs": "`+needs+`",`), 1)
		_, err := bundle.ParseInventory(bytes.NewReader(data))
		if !errors.Is(err, bundle.ErrUnsupported) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", needs, err, want)
		}
	}
}

// TestFirstFeatures: all releases know these. A feature that is added has the writer say
// which release it came in: see docs/bundle-format.md, "needs".
func TestFirstFeatures(t *testing.T) {
	t.Parallel()
	data := inventoryBytes(t, func(inv *bundle.Inventory) {
		inv.Requires = []string{bundle.FeatureArtifacts, bundle.FeatureContentDeltas, bundle.FeatureOriginalLayers}
	})
	if _, err := bundle.ParseInventory(bytes.NewReader(data)); errors.Is(err, bundle.ErrUnsupported) {
		t.Error(err)
	}
}
