package bundle_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
)

const helmConfig = "application/vnd.cncf.helm.config.v1+json"

// artifactManifest is one of an artifact with a layer of size bytes.
func artifactManifest(configType string, size int64) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},`+
		`"layers":[{"mediaType":"text/plain","digest":%q,"size":%d}]}`,
		v1.MediaTypeImageManifest, configType, digest.FromString("{}"), digest.FromString("layer"), size)
}

// TestIsArtifact: what CRI-O takes for an artifact, and what for an image.
func TestIsArtifact(t *testing.T) {
	t.Parallel()
	for configType, want := range map[string]bool{
		helmConfig: true, v1.MediaTypeEmptyJSON: true, "text/plain": true,
		v1.MediaTypeImageConfig: false, bundle.MediaTypeDockerConfig: false, "": false, "application/octet-stream": false,
	} {
		data := artifactManifest(configType, 5)
		if got := bundle.IsArtifact(data, v1.MediaTypeImageManifest); got != want {
			t.Errorf("configuration of type %q: %v, want %v", configType, got, want)
		}
		_, err := bundle.DescribeArtifact(data, v1.MediaTypeImageManifest)
		if (err == nil) != want || err != nil && !errors.Is(err, bundle.ErrNotArtifact) {
			t.Errorf("configuration of type %q: %v", configType, err)
		}
	}
	if bundle.IsArtifact(artifactManifest(helmConfig, 5), bundle.MediaTypeDockerManifest) {
		t.Error("a Docker manifest is an artifact")
	}
	for name, bad := range map[string][]byte{
		"a negative size":                artifactManifest(helmConfig, -1),
		"a list too":                     bytes.Replace(artifactManifest(helmConfig, 5), []byte(`"layers"`), []byte(`"manifests":[],"layers"`), 1),
		"an annotation that is a number": bytes.Replace(artifactManifest(helmConfig, 5), []byte(`"layers"`), []byte(`"annotations":{"a":1},"layers"`), 1),
		"a subject that is a name":       bytes.Replace(artifactManifest(helmConfig, 5), []byte(`"layers"`), []byte(`"subject":"x","layers"`), 1),
		"no digest":                      bytes.ReplaceAll(artifactManifest(helmConfig, 5), []byte(digest.FromString("layer")), []byte("sha256:../x")),
	} {
		if _, err := bundle.DescribeArtifact(bad, v1.MediaTypeImageManifest); !errors.Is(err, bundle.ErrChain) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// artifact makes the image of an inventory an artifact of a blob of its own.
func artifact(t testing.TB, inv *bundle.Inventory) {
	t.Helper()
	data := artifactManifest(helmConfig, 5)
	img, err := bundle.DescribeArtifact(data, v1.MediaTypeImageManifest)
	if err != nil {
		t.Fatal(err)
	}
	img.Ref = "quay.io/a/chart@" + img.Digest.String()
	inv.Images = []bundle.Image{img}
	inv.Blobs = []bundle.Blob{
		{Digest: img.Digest, Size: int64(len(data)), Kind: bundle.KindManifest},
		{Digest: img.Config.Digest, Size: 2, Kind: bundle.KindConfig},
		{Digest: img.Layers[0].Digest, Size: 5, Kind: bundle.KindArtifact},
	}
	inv.SetFormat()
}

// TestArtifactInventory: a bundle with an artifact says so to its readers, and what it says is
// held to the manifest.
func TestArtifactInventory(t *testing.T) {
	t.Parallel()
	data := inventoryBytes(t, func(inv *bundle.Inventory) { artifact(t, inv) })
	inv, err := bundle.ParseInventory(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if inv.Format != bundle.FormatV2 || !slices.Equal(inv.Requires, []string{bundle.FeatureArtifacts}) || !inv.HasArtifact() {
		t.Errorf("format %q requires %q", inv.Format, inv.Requires)
	}
	img := &inv.Images[0]
	read := func(d digest.Digest) ([]byte, error) {
		if d != img.Digest {
			t.Errorf("%s was read: nothing is known of what is in an artifact", d)
		}
		return artifactManifest(helmConfig, 5), nil
	}
	if p, err := img.Prove(read); err != nil || p.Config != nil {
		t.Errorf("proof: %v", err)
	}
	for name, change := range map[string]func(*bundle.Image){
		"another layer":    func(img *bundle.Image) { img.Layers[0].Digest = digest.FromString("x") },
		"another size":     func(img *bundle.Image) { img.Layers[0].Size++ },
		"another diff ID":  func(img *bundle.Image) { img.Layers[0].DiffID = digest.FromString("x") },
		"another config":   func(img *bundle.Image) { img.Config.Digest = digest.FromString("x") },
		"no artifact":      func(img *bundle.Image) { img.Artifact = false },
		"a list's instead": func(img *bundle.Image) { img.MediaType = v1.MediaTypeImageIndex },
	} {
		lie := *img
		lie.Layers = slices.Clone(img.Layers)
		change(&lie)
		if _, err := lie.Prove(read); !errors.Is(err, bundle.ErrChain) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*bundle.Inventory){
		"no feature":       func(inv *bundle.Inventory) { inv.Requires = nil },
		"no blob":          func(inv *bundle.Inventory) { inv.Blobs = inv.Blobs[:2] },
		"no manifest":      func(inv *bundle.Inventory) { inv.Blobs = inv.Blobs[1:] },
		"a blob's size":    func(inv *bundle.Inventory) { inv.Images[0].Layers[0].Size++ },
		"a table":          func(inv *bundle.Inventory) { inv.Blobs[2].Table = inv.Blobs[0].Digest },
		"not original":     func(inv *bundle.Inventory) { inv.Images[0].Layers[0].Original = false },
		"original, too":    func(inv *bundle.Inventory) { inv.Images[0].Original = true; inv.SetFormat() },
		"a plain size":     func(inv *bundle.Inventory) { inv.Images[0].Layers[0].DiffSize = 5 },
		"of another name":  func(inv *bundle.Inventory) { inv.Images[0].Ref = "quay.io/a/b@" + digest.FromString("x").String() },
		"a large config":   func(inv *bundle.Inventory) { inv.Blobs[1].Kind = bundle.KindArtifact },
		"an unknown index": func(inv *bundle.Inventory) { inv.Images[0].Index = digest.FromString("x") },
	} {
		bad := inventoryBytes(t, func(inv *bundle.Inventory) { artifact(t, inv); change(inv) })
		if _, err := bundle.ParseInventory(bytes.NewReader(bad)); !errors.Is(err, bundle.ErrInventory) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadableArtifact: what libartifact takes as the name of an artifact. e2e holds it to the library.
func TestReadableArtifact(t *testing.T) {
	t.Parallel()
	sum := "@" + digest.FromString("x").String()
	img := bundle.Image{Artifact: true}
	for name, want := range map[string]bool{
		"quay.io/a/chart" + sum: true, "quay.io:5000/a-b/c.d_e:v1.2-3_4": true, "quay.io/a--b/chart" + sum: true,
		"quay.io/a__b/chart" + sum: false, "quay.io/a---b/chart" + sum: false, "quay.io/a/chart:v1..2": false,
		"quay.io/a/chart:v1_": false, "quay.io/a/chart:_v1": false,
	} {
		if got := bundle.ReadableArtifact(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if !want {
			img.Names = append(img.Names, name)
		}
	}
	img.Ref = "quay.io/a/chart" + sum
	if got := img.UnreadableNames(); !slices.Equal(got, img.Names) {
		t.Errorf("%q, want %q", got, img.Names)
	}
	img.Artifact = false
	if got := img.UnreadableNames(); len(got) > 0 {
		t.Errorf("of an image: %q", got)
	}
}
