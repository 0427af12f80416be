package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestLies runs the commands that read bundles on ones whose digests are all right, and
// whose inventories lie about how they belong together. Each command refuses each, with
// the same words.
func TestLies(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	for name, c := range map[string]struct {
		// lie changes the entry of an image that a list names; other is another image.
		lie  func(img *bundle.Image, other bundle.Image)
		says string
	}{
		"another image under a list's digest": {func(img *bundle.Image, other bundle.Image) {
			img.Digest, img.MediaType, img.Config, img.Layers = other.Digest, other.MediaType, other.Config, other.Layers
		}, "it does not name sha256:"},
		"a manifest's media type": {func(img *bundle.Image, _ bundle.Image) { img.MediaType = bundle.MediaTypeDockerManifest }, "media type"},
		"a list for a manifest":   {func(img *bundle.Image, _ bundle.Image) { img.MediaType = v1.MediaTypeImageIndex }, "it is no container image"},
		"another platform": {func(img *bundle.Image, _ bundle.Image) {
			img.Platform = &v1.Platform{OS: "linux", Architecture: "arm64"}
		}, "it is for the platform linux/amd64"},
		"another configuration":  {func(img *bundle.Image, other bundle.Image) { img.Config = other.Config }, "it names the configuration"},
		"a configuration's size": {func(img *bundle.Image, _ bundle.Image) { img.Config.Size++ }, "it names the configuration"},
		"a layer's size":         {func(img *bundle.Image, _ bundle.Image) { img.Layers[0].Size++ }, "its layer 0 is"},
		"a layer's media type":   {func(img *bundle.Image, _ bundle.Image) { img.Layers[0].MediaType = v1.MediaTypeImageLayerGzip }, "its layer 0 is"},
		"another layer's diff ID": {func(img *bundle.Image, other bundle.Image) {
			img.Layers[0].DiffID, img.Layers[0].DiffSize = other.Layers[0].DiffID, other.Layers[0].DiffSize
		}, "its diff_id 0 is"},
		"a layer left out": {func(img *bundle.Image, _ bundle.Image) { img.Layers = nil }, "it has 1 layers, the inventory 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := storetest.NewSource(t, bundle.Expanded)
			src.Add(storetest.Image{Repository: "quay.io/a/good", Index: true, Layers: [][]byte{storetest.Tar(t, storetest.File("a", "good"))}})
			src.Add(storetest.Image{Repository: "quay.io/b/evil", Layers: [][]byte{storetest.Tar(t, storetest.File("a", "evil"))}})
			src.Edit(func(inv *bundle.Inventory) { c.lie(&inv.Images[0], inv.Images[1]) })
			dir := t.TempDir()
			path := filepath.Join(dir, "b.tar.zst")
			writeBundle(t, path, src)
			for _, args := range [][]string{
				{"verify", path},
				{"import", path, "--no-seal", "--store", filepath.Join(dir, "store")},
				{"import", path, "--image-out", filepath.Join(dir, "x.erofs")},
				{"audit", "--objects", "/dev/null", "--bundle", path},
			} {
				code, out, said := nodeseal(args...)
				if code != exitDamaged || !strings.Contains(out+said, c.says) || strings.Contains(out, "OK:") && !strings.Contains(out, "NOT OK:") {
					t.Errorf("%s: exit code %d, want %d and %q\n%s%s", args[0], code, exitDamaged, c.says, out, said)
				}
			}
		})
	}
}
