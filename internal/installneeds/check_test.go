package installneeds

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/release"
)

// realRelease is the payload of the real release 4.12.0.
func realRelease(t *testing.T) *release.Payload {
	t.Helper()
	f, err := os.Open("../imagelist/release/testdata/image-references-4.12.0.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	refs, err := release.ParseReferences(f)
	if err != nil {
		t.Fatal(err)
	}
	return &release.Payload{
		Image:   "quay.io/openshift-release-dev/ocp-release@sha256:4c5a7e26d707780be6466ddc9591865beb2e3baa5556432d23e8d57966a2dd18",
		Version: refs.Version, Components: refs.Components,
	}
}

// holding is the inventory of a bundle with all of p but the components that are left out, with
// the original layers of those that are kept.
func holding(p *release.Payload, without, kept []string) *bundle.Inventory {
	inv := new(bundle.Inventory)
	for _, c := range append([]release.Component{{Name: releaseImage, Ref: p.Image}}, p.Components...) {
		if !slices.Contains(without, c.Name) {
			inv.Images = append(inv.Images, bundle.Image{Ref: c.Ref, Original: slices.Contains(kept, c.Name)})
		}
	}
	return inv
}

var keptForAgent = []string{"rhel-coreos-8", releaseImage, "installer", "baremetal-installer"}

func TestNothingMissing(t *testing.T) {
	t.Parallel()
	p := realRelease(t)
	if rep := Check(holding(p, nil, keptForAgent), p, Agent); len(rep.Missing)+len(rep.OtherPlatforms) > 0 {
		t.Errorf("agent, with all images: %+v", rep)
	}
	for _, f := range []Flavor{UPI, SNO} {
		if rep := Check(holding(p, nil, []string{"rhel-coreos-8"}), p, f); len(rep.Missing)+len(rep.OtherPlatforms) > 0 {
			t.Errorf("%s, with all images and the system's layers: %+v", f, rep)
		}
	}
}

// TestEachComponent leaves one image of the release out at a time.
func TestEachComponent(t *testing.T) {
	t.Parallel()
	p := realRelease(t)
	other := 0
	for _, c := range append([]release.Component{{Name: releaseImage, Ref: p.Image}}, p.Components...) {
		rep := Check(holding(p, []string{c.Name}, keptForAgent), p, Agent)
		if platforms.MatchString(c.Name) {
			other++
			if len(rep.Missing) > 0 || !slices.Equal(rep.OtherPlatforms, []string{c.Name}) {
				t.Errorf("without %s: %+v", c.Name, rep)
			}
			continue
		}
		if len(rep.Missing) != 1 || rep.Missing[0].Component != c.Name || rep.Missing[0].Ref != c.Ref || rep.Missing[0].What != MissingImage || len(rep.Missing[0].AskedBy) == 0 {
			t.Errorf("without %s: %+v", c.Name, rep)
		}
	}
	if other < 40 || other > 70 {
		t.Errorf("%d of %d components are of other platforms", other, len(p.Components))
	}
}

// TestEachPlatform has a release for several platforms, each of whose references is a list.
func TestEachPlatform(t *testing.T) {
	t.Parallel()
	p := realRelease(t)
	of := func(architecture string, without, kept []string) []bundle.Image {
		images := holding(p, without, kept).Images
		for i := range images {
			images[i].Index = digest.FromString("list")
			images[i].Platform = &v1.Platform{OS: "linux", Architecture: architecture}
			if i%2 == 1 && architecture == "arm64" {
				images[i].Platform.Variant = "v8"
			}
		}
		return images
	}
	inv := func(images ...[]bundle.Image) *bundle.Inventory {
		return &bundle.Inventory{Images: slices.Concat(images...)}
	}
	one := Check(inv(of("amd64", nil, keptForAgent)), p, Agent)
	both := Check(inv(of("amd64", nil, keptForAgent), of("arm64", nil, keptForAgent)), p, Agent)
	if len(both.Missing)+len(one.Missing) > 0 || both.Needed != 2*one.Needed || !slices.Equal(both.Platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("with all images: %+v", both)
	}
	for _, lacks := range []string{"linux/amd64", "linux/arm64"} {
		all, some := "arm64", "amd64"
		if lacks == "linux/arm64" {
			all, some = some, all
		}
		for name, rest := range map[string][]bundle.Image{
			MissingImage:     of(some, []string{"etcd", "rhel-coreos-8"}, keptForAgent),
			MissingOriginals: of(some, nil, []string{releaseImage, "installer"}),
		} {
			for _, b := range []*bundle.Inventory{inv(of(all, nil, keptForAgent), rest), inv(rest, of(all, nil, keptForAgent))} {
				var got []string
				for _, m := range Check(b, p, Agent).Missing {
					if m.Platform != lacks || m.What != name {
						t.Errorf("%s lacks: %+v", lacks, m)
					}
					got = append(got, m.Component)
				}
				want := map[string][]string{MissingImage: {"etcd", "rhel-coreos-8"}, MissingOriginals: {"baremetal-installer", "rhel-coreos-8"}}[name]
				if slices.Sort(got); !slices.Equal(got, want) {
					t.Errorf("%s lacks %s of %q, want %q", lacks, name, got, want)
				}
			}
		}
	}
	// What is no list is the same image for all machines, whatever its configuration says.
	single := of("amd64", nil, keptForAgent)
	for i := range single {
		single[i].Index = ""
	}
	single[1].Platform.Architecture = "s390x"
	if rep := Check(inv(single), p, Agent); len(rep.Missing) > 0 || rep.Needed != one.Needed {
		t.Errorf("a release for one platform: %+v", rep)
	}
}

func TestAskedBy(t *testing.T) {
	t.Parallel()
	p := realRelease(t)
	for component, who := range map[string]string{
		releaseImage:                 "release-image-download.sh",
		"cluster-bootstrap":          "bootkube.sh",
		"pod":                        "CRI-O",
		"machine-config-operator":    "machine-config-daemon-pull.service",
		"agent-installer-node-agent": "get-container-images.sh",
		"must-gather":                "assisted-service",
		"rhel-coreos-8":              "node-image-pull.sh",
		"rhel-coreos-8-extensions":   "extensions",
		"console-operator":           "cluster version operator",
	} {
		rep := Check(holding(p, []string{component}, keptForAgent), p, Agent)
		if len(rep.Missing) != 1 || !strings.Contains(strings.Join(rep.Missing[0].AskedBy, "\n"), who) {
			t.Errorf("without %s: %+v, want it to be asked for by %s", component, rep.Missing, who)
		}
	}
}

func TestOriginalLayers(t *testing.T) {
	t.Parallel()
	p := realRelease(t)
	for flavor, want := range map[Flavor][]string{
		Agent: {"baremetal-installer", "installer", releaseImage, "rhel-coreos-8"}, UPI: {"rhel-coreos-8"}, SNO: {"rhel-coreos-8"},
	} {
		var got []string
		for _, m := range Check(holding(p, nil, nil), p, flavor).Missing {
			if m.What == MissingOriginals {
				got = append(got, m.Component)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: the layers of %q are missing, want %q", flavor, got, want)
		}
	}
}

// TestListHasAll holds that a list of the release has all that an installation asks for, the
// operating system by its role: without a list that has it, nothing could be bundled.
func TestListHasAll(t *testing.T) {
	t.Parallel()
	p := realRelease(t)
	l := new(imagelist.List)
	p.AddTo(l, nil)
	inv := new(bundle.Inventory)
	for _, e := range l.Entries() {
		inv.Images = append(inv.Images, bundle.Image{Ref: e.Ref, Role: e.Role, Original: true})
	}
	if rep := Check(inv, p, Agent); len(rep.Missing)+len(rep.OtherPlatforms) > 0 {
		t.Errorf("the list of the release leaves out %+v", rep)
	}
	names := make(map[string]bool)
	for _, c := range p.Components {
		names[c.Name] = true
	}
	for _, n := range table() {
		if n.component != releaseImage && !names[n.component] {
			t.Errorf("%s is not a component of a real release", n.component)
		}
	}
	if !slices.ContainsFunc(inv.Images, func(img bundle.Image) bool { return img.Role == bundle.RoleOS }) {
		t.Error("no image of the list has the role of an operating system")
	}
}
