package plan

import (
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/diskbudget"
)

// TestNodeDisk: two slots, the layers that are kept in both, and two deployments of the
// operating system count; a layer that two images keep counts once in a slot.
func TestNodeDisk(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	layer := func(name string, size int64, original bool) bundle.Layer {
		return bundle.Layer{Digest: digest.FromString(name), DiffID: digest.FromString("tar " + name), Size: size, Original: original}
	}
	images := []bundle.Image{
		{Ref: "app", Layers: []bundle.Layer{layer("a", 4*gib, false)}},
		{Ref: "os", Role: bundle.RoleOS, Original: true, Layers: []bundle.Layer{layer("b", gib, true), layer("c", gib, true)}},
		{Ref: "layered", Role: bundle.RoleOS, Original: true, Layers: []bundle.Layer{layer("b", gib, true), layer("c", gib, true), layer("d", gib, true)}},
	}
	in := Input{
		Images: images, Form: bundle.Expanded, Level: 3, Jobs: 1, Encoders: 1, Work: t.TempDir(), Output: t.TempDir() + "/out",
		State: func(bundle.Layer) State { return State{} },
	}
	p, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	if p.Node.Originals != 3*gib || p.Node.Disk != nil || errors.Is(p.Check(), diskbudget.ErrTooSmall) {
		t.Errorf("%+v, want 3 GiB of original layers and no budget", p.Node)
	}
	packed, system := 7.0*gib, 3.0*gib // compressed: 4 of the application, 3 of the systems
	in.NodeDisk = 200 * gib
	if p, err = Make(in); err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, i := range p.Node.Disk.Items {
		sum += i.Bytes
	}
	want := 2*int64(dirRatio*plainRatio*packed) + 2*3*gib + 2*int64(dirRatio*plainRatio*system)
	if diff := sum - want; diff < -gib/1024 || diff > gib/1024 {
		t.Errorf("the items of %+v are %d bytes, want %d", p.Node.Disk, sum, want)
	}
	if err := p.Node.Disk.Check(); err != nil {
		t.Error(err)
	}
	in.NodeDisk = 60 * gib
	if p, err = Make(in); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(); !errors.Is(err, diskbudget.ErrTooSmall) {
		t.Errorf("60 GiB: %v", err)
	}
}
