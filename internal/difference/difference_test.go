package difference_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/difference"
	"github.com/nodeseal/nodeseal/internal/imagelist"
)

func sum(text string) digest.Digest { return digest.FromString(text) }

// image is one of a bundle: "COMPONENT REPOSITORY CONTENT TAG", where - is none, with layers of
// 10 bytes that unpack to 100 for each further word.
func image(text string) bundle.Image {
	f := strings.Fields(text)
	img := bundle.Image{Ref: "r.example/" + f[1] + "@" + sum(f[2]).String(), Digest: sum(f[2])}
	if f[0] != "-" {
		img.From = []bundle.Origin{{Source: "release", Name: "4." + f[2] + ".0 " + f[0]}}
	}
	if f[3] != "-" {
		img.Names = []string{"r.example/" + f[1] + ":" + f[3]}
	}
	for _, l := range f[4:] {
		img.Layers = append(img.Layers, bundle.Layer{Digest: sum("gz " + l), Size: 10, DiffID: sum(l), DiffSize: 100})
	}
	return img
}

func side(images ...string) *difference.Side {
	inv := &bundle.Inventory{Layers: bundle.Expanded}
	for _, text := range images {
		inv.Images = append(inv.Images, image(text))
	}
	return difference.OfInventory(inv)
}

func list(refs ...string) *difference.Side {
	var entries []imagelist.Entry
	for _, text := range refs {
		img := image(text + " -")
		entries = append(entries, imagelist.Entry{Ref: img.Ref, Names: img.Names, From: img.From})
	}
	return difference.OfEntries(entries)
}

// tags is a list of references by tag, each REPOSITORY:TAG.
func tags(refs ...string) *difference.Side {
	var entries []imagelist.Entry
	for _, ref := range refs {
		entries = append(entries, imagelist.Entry{Ref: "r.example/" + ref})
	}
	return difference.OfEntries(entries)
}

// show is a difference in a line: kinds, titles, versions, and how many layers are new.
func show(d *difference.Difference) string {
	var out []string
	for _, c := range d.Changes {
		text := string(c.Kind) + " " + c.Title()
		if c.From != nil {
			text += " " + c.From.Version()
		}
		if c.Kind == difference.Changed {
			text += " ->"
		}
		if c.To != nil {
			text += " " + c.To.Version()
		}
		if c.New != nil {
			text += fmt.Sprintf(" +%d", c.New.Layers)
		}
		out = append(out, text)
	}
	return strings.Join(append(out, fmt.Sprint(d.Same)), "; ")
}

// An image that is on both sides is the one that it was, by what identifies it best.
func TestCompare(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		a, b *difference.Side
		want string
	}{
		{"nothing", side(), side(), "0"},
		{"the same", side("etcd ocp 1 - a b"), side("etcd ocp 1 - a b"), "1"},
		{"components of one repository", side("etcd ocp 1 - a", "cli ocp 2 - a b"), side("etcd ocp 3 - a c", "cli ocp 4 - a"),
			"changed cli 4.2.0 -> 4.4.0 +0; changed etcd 4.1.0 -> 4.3.0 +1; 0"},
		{"a component that goes is not the one that comes", side("etcd ocp 1 - a"), side("cli ocp 2 - a"),
			"added cli 4.2.0 +0; removed etcd 4.1.0; 0"},
		{"one image of a repository", side("- app 1 v1 a"), side("- app 2 v2 a b"), "changed r.example/app v1 -> v2 +1; 0"},
		{"two of a repository are not guessed", side("- app 1 v1 a"), side("- app 2 v2 a", "- app 3 v3 b"),
			"added r.example/app v3 +1; added r.example/app v2 +0; removed r.example/app v1; 0"},
		{"but a tag that moved", side("- app 1 v1 a", "- app 4 v4 a"), side("- app 2 v1 b", "- app 4 v4 a"),
			"changed r.example/app v1 -> v1 +1; 1"},
		{"another repository", side("- app 1 v1 a"), side("- copy 1 v1 a"), "changed r.example/copy v1 -> v1 +0; 0"},
		{"a list knows no layers", list("etcd ocp 1 -", "cli ocp 2 -"), side("etcd ocp 1 - a", "cli ocp 3 - a"),
			"changed cli 4.2.0 -> 4.3.0; 1"},
		{"a component is known to one side", list("- ocp 1 -"), side("etcd ocp 1 - a"), "1"},
		{"other tags in two lists", tags("app:v1"), tags("app:v2"), "changed r.example/app v1 -> v2; 0"},
		{"the same tag in two lists", tags("app:v1"), tags("app:v1"), "1"},
		{"a list by another tag than the bundle's", tags("app:v1"), side("- app 2 v2 a"), "changed r.example/app v1 -> v2; 0"},
		{"a bundle of another tag than the list's", side("- app 2 v2 a"), tags("app:v1"), "changed r.example/app v2 -> v1; 0"},
		{"a list by the bundle's tag", tags("app:v2"), side("- app 2 v2 a"), "1"},
		{"a bundle of the list's tag", side("- app 2 v2 a"), tags("app:v2"), "1"},
		{"a tag that no image of the bundle has", tags("app:v1"), side("- app 1 - a"), "changed r.example/app v1 -> ; 0"},
	} {
		if got := show(difference.Compare(tc.a, tc.b)); got != tc.want {
			t.Errorf("%s: %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

// A reference by tag in a list is the image that has the tag.
func TestUnresolved(t *testing.T) {
	t.Parallel()
	byTag := difference.OfEntries([]imagelist.Entry{{Ref: "r.example/app:v1"}, {Ref: "r.example/other:v1"}})
	if got := show(difference.Compare(byTag, side("- app 1 v1 a"))); got != "removed r.example/other v1; 1" {
		t.Error(got)
	}
}

// A reference with another set of platforms is changed.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	inv := &bundle.Inventory{Images: []bundle.Image{image("- app 1 v1 a")}}
	other := inv.Images[0]
	other.Digest, other.Layers = sum("arm"), image("- app 1 v1 x y").Layers
	one := difference.OfInventory(inv)
	inv.Images = append(inv.Images, other)
	d := difference.Compare(one, difference.OfInventory(inv))
	if got := show(d); got != "changed r.example/app v1 -> v1 +2; 0" || len(d.Changes[0].To.Manifests) != 2 {
		t.Error(got, d.Changes)
	}
}

// What layers take counts each layer once, by its content; of bytes that are not known
// nothing is said.
func TestAmounts(t *testing.T) {
	t.Parallel()
	a, b := side("etcd ocp 1 - a b", "cli ocp 2 - a"), side("etcd ocp 3 - a c", "cli ocp 4 - a c d", "new ocp 5 - c")
	d := difference.Compare(a, b)
	if *d.New != (difference.Amount{Layers: 2, Bytes: 20, Unpacked: 200}) || *d.Gone != (difference.Amount{Layers: 1, Bytes: 10, Unpacked: 100}) {
		t.Errorf("new %+v, gone %+v", *d.New, *d.Gone)
	}
	if got := *b.Total(); got != (difference.Amount{Layers: 3, Bytes: 30, Unpacked: 300}) {
		t.Errorf("in all %+v", got)
	}
	if d := difference.Compare(list("etcd ocp 1 -"), b); d.New != nil || d.Gone != nil {
		t.Error("sizes of layers that a list does not know")
	}
	inv := &bundle.Inventory{Images: []bundle.Image{image("- app 1 v1 a b")}}
	inv.Images[0].Layers[0].DiffSize = 0
	if got := difference.OfInventory(inv).Total(); got.Bytes != 20 || got.Unpacked != 0 {
		t.Errorf("with a layer of a length that is not known: %+v", got)
	}
}

// The order of what is compared does not show.
func TestOrder(t *testing.T) {
	t.Parallel()
	b := []string{"etcd ocp 3 - a c", "cli ocp 4 - a", "- app 6 v6 z", "- web 7 v7 z"}
	a := side("etcd ocp 1 - a", "cli ocp 2 - a", "- app 5 v5 z")
	want := show(difference.Compare(a, side(b...)))
	slices.Reverse(b)
	if got := show(difference.Compare(a, side(b...))); got != want {
		t.Errorf("%s\nand %s", got, want)
	}
}
