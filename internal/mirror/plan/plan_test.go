package plan_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
	"github.com/nodeseal/nodeseal/internal/mirror/sample"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

const mib = 1 << 20

// image is an image of layers, which are told apart by their sizes in MiB.
func image(name string, layers ...int64) bundle.Image {
	img := bundle.Image{Ref: name}
	img.Config.Digest = digest.FromString("config of " + name)
	for _, size := range layers {
		img.Layers = append(img.Layers, bundle.Layer{Digest: layerDigest(size), Size: size * mib})
	}
	return img
}

func layerDigest(size int64) digest.Digest { return digest.FromString(fmt.Sprint(size)) }

// input is of three images: one layer is in two of them, one twice in one, and
// two images are one under two names.
func input(t *testing.T, states map[int64]plan.State) plan.Input {
	t.Helper()
	twin := image("a", 100, 10, 10)
	twin.Ref = "a2"
	dir := t.TempDir()
	return plan.Input{
		Images: []bundle.Image{image("a", 100, 10, 10), twin, image("b", 100, 30), image("c", 7)},
		Form:   bundle.Expanded, Level: 2, Jobs: 2, Encoders: 2, Work: filepath.Join(dir, "work"), Output: filepath.Join(dir, "b.tar.zst"),
		State: func(l bundle.Layer) plan.State { return states[l.Size/mib] },
	}
}

func planned(t *testing.T, in plan.Input) *plan.Plan {
	t.Helper()
	p, err := plan.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// within holds a value to an expected one, give or take a part of it.
func within(t *testing.T, what string, got int64, want, part float64) {
	t.Helper()
	if g := float64(got); g < want*(1-part) || g > want*(1+part) {
		t.Errorf("%s: %d, want about %.0f", what, got, want)
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	p := planned(t, input(t, map[int64]plan.State{30: {Kept: 12 * mib}, 7: {Done: true, Frames: 6 * mib, Plain: 20 * mib}}))
	want := []plan.Image{
		{Ref: "a", Layers: 2, Bytes: 110 * mib, OwnBytes: 10 * mib, Download: 110 * mib},
		{Ref: "a2", Layers: 2, Bytes: 110 * mib, OwnBytes: 10 * mib, Download: 110 * mib},
		{Ref: "b", Layers: 2, Bytes: 130 * mib, OwnBytes: 30 * mib, Download: 118 * mib},
		{Ref: "c", Layers: 1, Bytes: 7 * mib, OwnBytes: 7 * mib},
	}
	if !reflect.DeepEqual(p.Images, want) {
		t.Errorf("images: %+v", p.Images)
	}
	if p.Layers != 4 || p.LayerBytes != 147*mib || p.SharedBytes != 100*mib || p.Download != 128*mib {
		t.Errorf("%d layers of %d bytes, %d shared, %d to come", p.Layers, p.LayerBytes, p.SharedBytes, p.Download)
	}
	if p.Rate != 0 || p.Seconds != 0 || p.Levels != nil {
		t.Errorf("measured: %+v", p)
	}
}

// What the disks need is what the run writes at most at any time.
func TestNeeds(t *testing.T) {
	t.Parallel()
	states := map[int64]plan.State{30: {Kept: 12 * mib}}
	in := input(t, states)
	p := planned(t, in)
	if len(p.Disks) != 1 || p.Disks[0].Free <= 0 {
		t.Fatalf("disks: %+v", p.Disks)
	}
	// Frames of all, and either the two largest downloads or the bundle.
	within(t, "bundle", p.Bundle, 0.92*147*mib, 0.01)
	within(t, "expanded", p.Disks[0].Need, 2*0.92*147*mib, 0.01)

	in.Form = bundle.Original
	p = planned(t, in)
	within(t, "original", p.Disks[0].Need, (147-12)*mib+147*mib, 0.01)

	states[100], states[10], states[7] = plan.State{Done: true, Frames: 90 * mib}, plan.State{Done: true, Frames: 9 * mib}, plan.State{Done: true, Frames: 6 * mib}
	in.Form = bundle.Expanded
	p = planned(t, in)
	// What is finished says more than the constants, as long as it is plausible.
	within(t, "bundle, most of it finished", p.Bundle, (105+30*0.9)*mib, 0.02)
	within(t, "most of it finished", p.Disks[0].Need, 30*0.9*mib+(105+30*0.9)*mib, 0.02)
	states[30] = plan.State{Done: true, Frames: 28 * mib}
	p = planned(t, in)
	within(t, "bundle, all finished", p.Bundle, 133*mib, 0.001)
	within(t, "all finished", p.Disks[0].Need, 133*mib, 0.001)
	if p.Download != 0 {
		t.Errorf("%d bytes to come", p.Download)
	}
}

// A work directory elsewhere has needs of its own.
func TestDisks(t *testing.T) {
	t.Parallel()
	in := input(t, map[int64]plan.State{30: {Kept: 12 * mib}})
	point := testenv.NeedFSOfSize(t, "tmpfs", 0)
	in.Work = filepath.Join(point, "not", "there", "yet")
	p := planned(t, in)
	if len(p.Disks) != 2 || p.Disks[0].Path != in.Work || p.Disks[1].Path != filepath.Dir(in.Output) {
		t.Fatalf("disks: %+v", p.Disks)
	}
	// The frames beside the two largest downloads, of which 12 MiB are there.
	within(t, "work", p.Disks[0].Need, 0.92*147*mib+(100+30-12)*mib, 0.01)
	within(t, "output", p.Disks[1].Need, float64(p.Bundle), 0)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	p := &plan.Plan{Disks: []plan.Disk{{Path: "/a", For: "work directory", Need: 5*mib + 1, Free: 5 * mib}, {Path: "/b", For: "bundle", Need: 5, Free: 5}}}
	err := p.Check()
	if !errors.Is(err, plan.ErrNoSpace) || !strings.Contains(err.Error(), "/a: the work directory may need 6 MiB more, 5 MiB are free") || strings.Contains(err.Error(), "/b") {
		t.Errorf("%v", err)
	}
	p.Disks[0].Free++
	if err := p.Check(); err != nil {
		t.Error(err)
	}
}

func TestMeasured(t *testing.T) {
	t.Parallel()
	in := input(t, nil)
	in.Measured = &sample.Result{Rate: 10 * mib, Plain: 3, Levels: []sample.Level{
		{Level: 1, Ratio: 1, Speed: 50 * mib}, {Level: 2, Ratio: 0.9, Speed: 6 * mib}, {Level: 3, Ratio: 0.8, Speed: 3 * mib}, {Level: 4, Ratio: 0.7, Speed: mib},
	}}
	p := planned(t, in)
	within(t, "bundle", p.Bundle, 0.9*1.05*147*mib, 0.01)
	within(t, "node, dir", p.Node.Dir, 3*1.06*147*mib, 0.01)
	within(t, "node, image", p.Node.Image, 3*147*mib, 0.01)
	// The network is the bound for the first two, two processors for the others.
	seconds := []int64{14, 14, 24, 73}
	for i, l := range p.Levels {
		if l.Level != i+1 || l.Name != seekable.LevelName(i+1) || l.Seconds != seconds[i] {
			t.Errorf("%+v", l)
		}
	}
	within(t, "level 4", p.Levels[3].Bundle, 0.7*1.05*147*mib, 0.01)
	if p.Rate != 10*mib || p.Seconds != 14 {
		t.Errorf("%d bytes/s, %d s", p.Rate, p.Seconds)
	}
	in.Level = 3
	if p := planned(t, in); p.Rate != 6*mib || p.Seconds != 24 {
		t.Errorf("level 3: %d bytes/s, %d s", p.Rate, p.Seconds)
	}
	// The level of the run says the same in the headline and in the table.
	for level := 1; level <= 4; level++ {
		in.Level = level
		p := planned(t, in)
		for _, l := range p.Levels {
			if l.Chosen != (l.Level == level) || l.Chosen && (l.Bundle != p.Bundle || l.Seconds != p.Seconds) {
				t.Errorf("level %d: %+v in the table, %d bytes and %d s in the headline", level, l, p.Bundle, p.Seconds)
			}
		}
	}
	in.Form = bundle.Original
	if p := planned(t, in); p.Levels != nil || p.Seconds != 14 {
		t.Errorf("original: %+v", p)
	}
}

// TestAttachments: they count for the bundle and for the node, and are not there to
// be downloaded.
func TestAttachments(t *testing.T) {
	t.Parallel()
	in := input(t, nil)
	without := planned(t, in)
	in.Attachments, in.AttachmentBytes = 3, 5*mib
	with := planned(t, in)
	if n := with.Bundle - without.Bundle; n < 5*mib || n > 6*mib {
		t.Errorf("%d bytes more in the bundle, want 5 MiB and a little", n)
	}
	if with.Node.Dir-without.Node.Dir != 5*mib || with.Node.Image-without.Node.Image != 5*mib || with.Download != without.Download {
		t.Errorf("node %+v, download %d; without %+v, %d", with.Node, with.Download, without.Node, without.Download)
	}
}
