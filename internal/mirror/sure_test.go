package mirror

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
)

// imagesOf makes images of NAME[/ARCHITECTURE]=LAYER,...; a name is a repository, or REPOSITORY:TAG.
func imagesOf(text string) (out []bundle.Image) {
	for i, word := range strings.Fields(text) {
		name, layers, _ := strings.Cut(word, "=")
		name, arch, _ := strings.Cut(name, "/")
		img := bundle.Image{Ref: "r.example.com/" + name}
		if !strings.Contains(name, ":") {
			img.Ref += fmt.Sprint("@", digest.FromString(text+fmt.Sprint(i)))
		}
		if arch != "" {
			img.Platform = &v1.Platform{OS: "linux", Architecture: arch}
		}
		for l := range strings.SplitSeq(layers, ",") {
			img.Layers = append(img.Layers, bundle.Layer{DiffID: digest.Digest(strings.TrimSuffix(l, "!")), Original: strings.HasSuffix(l, "!")})
		}
		out = append(out, img)
	}
	return out
}

// TestSure tells which earlier layers a node with a new layer has, whatever part of the images and
// of the platforms it was given. Capital letters are earlier layers.
func TestSure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, now, want string }{
		{"the layers of the image", "app=A,B", "app=a,b", "a:A,B b:A,B"},
		{"not what it has still", "app=A,B", "app=A,b", "b:B"},
		{"not what another image has still", "app=A,B tool=C", "app=a tool=B", "a:A"},
		{"not those of another image", "app=A tool=B", "app=a tool=b", "a:A b:B"},
		{"what both images with it had", "app=A,B tool=A,C", "app=a,b tool=a,c", "a:A b:A,B c:A,C"},
		{"nothing, where an image with it had another base", "app=A,B tool=C", "app=a,b tool=a", "b:A,B"},
		{"nothing, where an image with it is new", "app=A,B", "app=a,b tool=a,c", "b:A,B"},
		{"the same architecture, whichever is first", "app/arm64=A app/amd64=B", "app/amd64=b app/arm64=a", "a:A b:B"},
		{"one platform of two", "app/arm64=A app/amd64=B", "app/amd64=b", "b:B"},
		{"another platform", "app/arm64=A", "app/amd64=b", ""},
		{"a layer of all platforms", "app/arm64=A,B app/amd64=A,C", "app/arm64=a,b app/amd64=a,c", "a:A b:A,B c:A,C"},
		{"a platform that is not said", "app/arm64=A,B app/amd64=A", "app=a", "a:A"},
		{"an image of the same tag", "app:1=A app:2=B", "app:2=b", "b:B"},
		{"a new tag: which it had is not known", "app:1=A,B app:2=A,C", "app:3=b", "b:A"},
		{"a tag that had another platform", "app:1/arm64=A app:2/amd64=B", "app:1/amd64=b", ""},
		{"a layer that is kept as the registry has it", "app=A!,B", "app=a", "a:B"},
	} {
		s := &since{Since: Since{Inventory: &bundle.Inventory{Images: imagesOf(c.old)}}, blobs: make(map[digest.Digest]bundle.Blob)}
		for _, img := range s.Inventory.Images {
			for _, l := range img.Layers {
				s.blobs[l.DiffID] = bundle.Blob{Kind: bundle.KindLayer}
			}
		}
		var got []string
		for layer, by := range s.sure(imagesOf(c.now)) {
			if _, known := s.blobs[layer]; !known && len(by) > 0 {
				got = append(got, fmt.Sprintf("%s:%s", layer, strings.Trim(strings.ReplaceAll(fmt.Sprint(by), " ", ","), "[]")))
			}
		}
		slices.Sort(got)
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s: %s, want %s", c.name, g, c.want)
		}
	}
}
