package storetest

import (
	"slices"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
)

// Lie is an inventory whose digests are all right, and that lies about how they belong
// together.
type Lie struct {
	// Name is what it lies about, Says a part of what every reader answers.
	Name, Says string
	// Tell changes the entry of an image that a list names; other is another image.
	Tell func(img *bundle.Image, other bundle.Image)
}

// Lies are the lies of inventories, one about each link between a reference and its
// layers.
func Lies() []Lie {
	return []Lie{
		{"another image under a list's digest", "it does not name sha256:", ForeignUnderList},
		{"a manifest's media type", "media type", func(img *bundle.Image, _ bundle.Image) { img.MediaType = bundle.MediaTypeDockerManifest }},
		{"a list for a manifest", "it is no container image", func(img *bundle.Image, _ bundle.Image) { img.MediaType = v1.MediaTypeImageIndex }},
		{"another platform", "it is for the platform linux/amd64", func(img *bundle.Image, _ bundle.Image) {
			img.Platform = &v1.Platform{OS: "linux", Architecture: "arm64"}
		}},
		{"another configuration", "it names the configuration", func(img *bundle.Image, other bundle.Image) { img.Config = other.Config }},
		{"a configuration's size", "it names the configuration", func(img *bundle.Image, _ bundle.Image) { img.Config.Size++ }},
		{"a layer's size", "its layer 0 is", func(img *bundle.Image, _ bundle.Image) { img.Layers[0].Size++ }},
		{"a layer's media type", "its layer 0 is", func(img *bundle.Image, _ bundle.Image) { img.Layers[0].MediaType = v1.MediaTypeImageLayerGzip }},
		{"another layer's diff ID", "its diff_id 0 is", func(img *bundle.Image, other bundle.Image) {
			img.Layers[0].DiffID, img.Layers[0].DiffSize = other.Layers[0].DiffID, other.Layers[0].DiffSize
		}},
		{"a layer left out", "it has 1 layers, the inventory 0", func(img *bundle.Image, _ bundle.Image) { img.Layers = nil }},
		{"a reference of another digest", "is of another manifest than", func(img *bundle.Image, other bundle.Image) {
			img.Ref = "quay.io/a/good@" + other.Digest.String()
		}},
		{"a reference without a digest", "has no digest", func(img *bundle.Image, _ bundle.Image) { img.Ref = "quay.io/a/good:1" }},
		{"a reference of the list's instance", "is of another manifest than", func(img *bundle.Image, _ bundle.Image) {
			img.Ref = "quay.io/a/good@" + img.Digest.String()
		}},
		{"a name by another image's digest", "is of another manifest than", func(img *bundle.Image, other bundle.Image) {
			img.Names = []string{"quay.io/a/good@" + other.Digest.String()}
		}},
		{"a name that another image has", "is on two images", func(img *bundle.Image, other bundle.Image) {
			img.Names = []string{other.Ref[:len("quay.io/b/evil")] + ":1"}
		}},
		{"the same name twice", "stands twice", func(img *bundle.Image, _ bundle.Image) {
			img.Names = []string{"quay.io/a/good:2", "quay.io/a/good:2"}
		}},
		{"a name of another image's signatures", "is that of what is attached to another image", func(img *bundle.Image, other bundle.Image) {
			img.Names = []string{"quay.io/b/evil:sha256-" + other.Digest.Encoded() + ".sig"}
		}},
	}
}

// ForeignUnderList is the worst of the lies: an image that the list does not name.
func ForeignUnderList(img *bundle.Image, other bundle.Image) {
	img.Digest, img.MediaType, img.Config, img.Layers = other.Digest, other.MediaType, other.Config, other.Layers
}

// NewLies returns a source of two images that are right: quay.io/a/good, by a list and as v1, and
// quay.io/b/evil, which has the tag 1 too.
func NewLies(t testing.TB) *Source {
	t.Helper()
	src := NewSource(t, bundle.Expanded)
	src.Add(Image{Repository: "quay.io/a/good", Tags: []string{"v1"}, Index: true, Layers: [][]byte{Tar(t, File("a", "good"))}})
	src.Add(Image{Repository: "quay.io/b/evil", Tags: []string{"1"}, Layers: [][]byte{Tar(t, File("a", "evil"))}})
	return src
}

// Write writes a bundle to path that tells the lie.
func (l *Lie) Write(t testing.TB, path string) {
	t.Helper()
	src := NewLies(t)
	src.Edit(func(inv *bundle.Inventory) {
		i := slices.IndexFunc(inv.Images, func(img bundle.Image) bool { return img.Index != "" })
		l.Tell(&inv.Images[i], inv.Images[1-i])
	})
	src.WriteRaw(t, path, src.RawInventory())
}
