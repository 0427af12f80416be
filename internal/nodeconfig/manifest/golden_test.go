package manifest

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

// update writes the golden files anew: go test ./internal/nodeconfig/manifest -update.
var update = flag.Bool("update", false, "write the golden files")

func version(t *testing.T, s string) Version {
	t.Helper()
	v, err := ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// settings has everything that a node can get.
func settings(t *testing.T) machine.Settings {
	t.Helper()
	conf, err := StorageConf(version(t, "4.18"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := nodeconfig.Registries{Repositories: []string{"quay.io/openshift-release-dev/ocp-release"}}
	drop, err := r.Conf()
	if err != nil {
		t.Fatal(err)
	}
	return machine.Settings{
		Root: "/var/lib/shared/nodeseal", Slots: []string{"a", "b"}, StorageConf: conf,
		Registries: []machine.File{
			{Path: nodeconfig.RegistriesConfFile, Mode: 0o644, Content: drop},
			{Path: nodeconfig.AttachmentsFile, Mode: 0o644, Content: r.Attachments()},
		},
		Pins:       []string{"quay.io/openshift-release-dev/*", "registry.redhat.io/rhel9/*"},
		Nameserver: netip.MustParseAddr("192.0.2.53"),
		Key:        []byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n"),
	}
}

// images returns n references by digest.
func images(n int) []string {
	refs := make([]string, n)
	for i := range refs {
		refs[i] = fmt.Sprintf("quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:%064x", i)
	}
	return refs
}

// signatures are of two releases, one of them with two, in no order and twice.
func signatures() []ReleaseSignature {
	a, b := digest.FromString("4.18"), digest.FromString("4.19")
	return []ReleaseSignature{
		{b, []byte{0x90, 0x0d, 1}}, {a, []byte("\x90\x0d\x02 not text: \xff")}, {b, []byte{0x90, 0x0d, 0}}, {b, []byte{0x90, 0x0d, 1}},
	}
}

// TestNoSignatures: an object with no signature in it would verify nothing.
func TestNoSignatures(t *testing.T) {
	t.Parallel()
	if out, err := Signatures(nil); !errors.Is(err, machine.ErrSettings) {
		t.Errorf("%s, %v", out, err)
	}
	big := []ReleaseSignature{{digest.FromString("4.18"), make([]byte, 1<<20)}}
	if _, err := Signatures(big); !errors.Is(err, machine.ErrSettings) {
		t.Errorf("a MiB: %v", err)
	}
}

// everything returns one of each object, by file name.
func everything(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	add := func(name string, content []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = content
	}
	full := settings(t)
	bare := full
	bare.StorageConf, bare.Pins = nil, nil
	content, err := MachineConfig("worker", full)
	add("machineconfig.yaml", content, err)
	content, err = ContainerRuntimeConfig("infra", version(t, "4.23"), bare, false)
	add("containerruntimeconfig.yaml", content, err)
	content, err = PinnedImageSets("master", version(t, "4.19.12"), PinnedImages{images(3), 3_210_000_000})
	add("pinnedimageset.yaml", content, err)
	content, err = PinnedImageSets("master", version(t, "4.18"), PinnedImages{Refs: images(1)})
	add("pinnedimageset-v1alpha1.yaml", content, err)
	content, err = NodeDisruptionPolicy(version(t, "4.17"), full)
	add("nodedisruptionpolicy.yaml", content, err)
	content, err = DaemonSet([]string{"master"}, Installer{Image: "registry.example/tools/nodeseal:1"}, full)
	add("daemonset.yaml", content, err)
	content, err = Signatures(signatures())
	add("signatures.yaml", content, err)
	for name, o := range map[string]Options{
		"README-4.16.md": {Pools: []string{"master"}, Version: version(t, "4.16"), Settings: full},
		"README-5.0.md": {Pools: []string{"worker", "master"}, Version: version(t, "5.0"), Settings: bare, RuntimeConfig: true,
			Pinned: PinnedImages{Refs: images(1)}, Installer: Installer{Image: "registry.example/tools/nodeseal:1"}, Signatures: signatures()},
	} {
		files, err := All(o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = files[0].Content
	}
	return out
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, got := range everything(t) {
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s differs from %s (-update writes it anew):\n%s", name, path, got)
		}
	}
}

// TestAllInOrder: the files are numbered as they are applied, and the README
// names each.
func TestAllInOrder(t *testing.T) {
	t.Parallel()
	s := settings(t)
	s.StorageConf, s.Pins = nil, nil
	files, err := All(Options{Pools: []string{"b", "a", "b"}, Version: version(t, "4.23"), Settings: s, RuntimeConfig: true,
		Pinned: PinnedImages{Refs: images(1)}, Installer: Installer{Image: "registry.example/tools/nodeseal:1"}, Signatures: signatures()})
	if err != nil {
		t.Fatal(err)
	}
	want := "README.md 10-daemonset.yaml 20-nodedisruptionpolicy.yaml" +
		" 30-machineconfig-a.yaml 40-containerruntimeconfig-a.yaml 50-pinnedimageset-a.yaml" +
		" 30-machineconfig-b.yaml 40-containerruntimeconfig-b.yaml 50-pinnedimageset-b.yaml 60-signatures.yaml"
	var names []string
	for _, f := range files {
		if strings.HasPrefix(f.Name, ReviewDir+"/") {
			continue
		}
		names = append(names, f.Name)
		if f.Name != "README.md" && !strings.Contains(string(files[0].Content), f.Name) {
			t.Errorf("the README does not name %s", f.Name)
		}
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestSplit: no more than 500 images in a set, each once.
func TestSplit(t *testing.T) {
	t.Parallel()
	out, err := PinnedImageSets("worker", version(t, "4.20"), PinnedImages{Refs: append(images(1001), images(7)...)})
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for doc := range strings.SplitSeq(string(out), "---\n") {
		sizes = append(sizes, strings.Count(doc, "- name: quay.io"))
	}
	if fmt.Sprint(sizes) != "[500 500 1]" {
		t.Errorf("sets of %v images", sizes)
	}
	for i := range 3 {
		if name := fmt.Sprintf("name: 99-zzz-nodeseal-worker-%d\n", i); !strings.Contains(string(out), name) {
			t.Errorf("no set with %s", name)
		}
	}
}
