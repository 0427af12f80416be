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
	// Kept has the layers of both images kept as their registry has them.
	Kept bool
}

// Lies are the lies of inventories, one about each link between a reference and its
// layers.
func Lies() []Lie {
	return []Lie{
		{Name: "another image under a list's digest", Says: "it does not name sha256:", Tell: ForeignUnderList},
		{Name: "a manifest's media type", Says: "media type", Tell: func(img *bundle.Image, _ bundle.Image) { img.MediaType = bundle.MediaTypeDockerManifest }},
		{Name: "a list for a manifest", Says: "it is no container image", Tell: func(img *bundle.Image, _ bundle.Image) { img.MediaType = v1.MediaTypeImageIndex }},
		{Name: "another platform", Says: "it is for the platform linux/amd64", Tell: func(img *bundle.Image, _ bundle.Image) {
			img.Platform = &v1.Platform{OS: "linux", Architecture: "arm64"}
		}},
		{Name: "another configuration", Says: "it names the configuration", Tell: func(img *bundle.Image, other bundle.Image) { img.Config = other.Config }},
		{Name: "a configuration's size", Says: "it names the configuration", Tell: func(img *bundle.Image, _ bundle.Image) { img.Config.Size++ }},
		{Name: "a layer's size", Says: "its layer 0 is", Tell: func(img *bundle.Image, _ bundle.Image) { img.Layers[0].Size++ }},
		{Name: "a layer's media type", Says: "its layer 0 is", Tell: func(img *bundle.Image, _ bundle.Image) { img.Layers[0].MediaType = v1.MediaTypeImageLayerGzip }},
		{Name: "another layer's diff ID", Says: "its diff_id 0 is", Tell: func(img *bundle.Image, other bundle.Image) {
			img.Layers[0].DiffID, img.Layers[0].DiffSize = other.Layers[0].DiffID, other.Layers[0].DiffSize
		}},
		{Name: "a layer left out", Says: "it has 1 layers, the inventory 0", Tell: func(img *bundle.Image, _ bundle.Image) { img.Layers = nil }},
		{Name: "a reference of another digest", Says: "is of another manifest than", Tell: func(img *bundle.Image, other bundle.Image) {
			img.Ref = "quay.io/a/good@" + other.Digest.String()
		}},
		{Name: "a reference without a digest", Says: "has no digest", Tell: func(img *bundle.Image, _ bundle.Image) { img.Ref = "quay.io/a/good:1" }},
		{Name: "a reference of the list's instance", Says: "is of another manifest than", Tell: func(img *bundle.Image, _ bundle.Image) {
			img.Ref = "quay.io/a/good@" + img.Digest.String()
		}},
		{Name: "a name by another image's digest", Says: "is of another manifest than", Tell: func(img *bundle.Image, other bundle.Image) {
			img.Names = []string{"quay.io/a/good@" + other.Digest.String()}
		}},
		{Name: "a name that another image has", Says: "is on two images", Tell: func(img *bundle.Image, other bundle.Image) {
			img.Names = []string{other.Ref[:len("quay.io/b/evil")] + ":1"}
		}},
		{Name: "the same name twice", Says: "stands twice", Tell: func(img *bundle.Image, _ bundle.Image) {
			img.Names = []string{"quay.io/a/good:2", "quay.io/a/good:2"}
		}},
		{Name: "a name of another image's signatures", Says: "is that of what is attached to another image", Tell: func(img *bundle.Image, other bundle.Image) {
			img.Names = []string{"quay.io/b/evil:sha256-" + other.Digest.Encoded() + ".sig"}
		}},
		{Name: "the size of a layer that is kept", Says: "bytes, its blob", Kept: true, Tell: func(img *bundle.Image, _ bundle.Image) {
			img.Layers[0].TrueSize = img.Layers[0].Size + 1 // no manifest proves it
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
	return newLies(t, false)
}

func newLies(t testing.TB, kept bool) *Source {
	t.Helper()
	src := NewSource(t, bundle.Expanded)
	src.Add(Image{Repository: "quay.io/a/good", Tags: []string{"v1"}, Index: true, Layers: [][]byte{Tar(t, File("a", "good"))}, Original: kept})
	src.Add(Image{Repository: "quay.io/b/evil", Tags: []string{"1"}, Layers: [][]byte{Tar(t, File("a", "evil"))}, Original: kept})
	return src
}

// Write writes a bundle to path that tells the lie.
func (l *Lie) Write(t testing.TB, path string) {
	t.Helper()
	src := newLies(t, l.Kept)
	src.Edit(func(inv *bundle.Inventory) {
		i := slices.IndexFunc(inv.Images, func(img bundle.Image) bool { return img.Index != "" })
		l.Tell(&inv.Images[i], inv.Images[1-i])
	})
	src.WriteRaw(t, path, src.RawInventory())
}
