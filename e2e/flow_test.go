//go:build e2e

// Package e2e drives the binary of NODESEAL_BIN against real components: a
// registry server, skopeo, podman, the file systems of this machine. It runs as
// root; make e2e and .ci/run start it.
package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// flow is what the parts of TestFlow share: images in a real registry, and the
// bundle of them all.
type flow struct {
	addr       string            // of the registry
	conf       string            // a registries.conf that points there
	refs       []string          // of all images
	real       map[string]string // references of the images of files of this machine
	bundle     string            // the bundle's path
	inventory  *bundle.Inventory
	unpacked   string // what tar made of the bundle
	listOfRefs string // the list file
}

// TestFlow is the main job: images from a real registry server through a bundle
// to a sealed store, each step looked at by independent tools.
func TestFlow(t *testing.T) {
	f := newFlow(t)
	t.Run("Unpack", f.testUnpack)
	t.Run("Deterministic", f.testDeterministic)
	t.Run("Import", f.testImport)
	t.Run("TwoNodes", f.testTwoNodes)
	t.Run("SameAsSkopeo", f.testSameAsSkopeo)
	t.Run("Podman", f.testPodman)
	t.Run("Seal", f.testSeal)
	t.Run("Damage", f.testDamage)
	t.Run("Cut", f.testCut)
}

func newFlow(t *testing.T) *flow {
	t.Helper()
	testenv.NeedRoot(t)
	harness.Binary(t)
	f := &flow{addr: harness.Registry(t)}
	release, err := samplerelease.Build(samplerelease.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := release.Push(t.Context(), f.addr); err != nil {
		t.Fatal(err)
	}
	for _, img := range release.Images {
		f.refs = append(f.refs, img.Ref)
	}
	f.real = harness.RealImages(t, f.addr, samplerelease.Prefix)
	for _, ref := range f.real {
		f.refs = append(f.refs, ref)
	}
	slices.Sort(f.refs)
	if len(f.refs) < 20 {
		t.Fatalf("%d images, want at least 20", len(f.refs))
	}
	f.conf = harness.WriteFile(t, "registries.conf", samplerelease.RegistriesConf(f.addr))
	f.listOfRefs = harness.WriteFile(t, "images.lst", "# all images\n\n"+strings.Join(f.refs, "\n")+"\n")
	f.bundle = filepath.Join(t.TempDir(), "release.tar.zst")
	f.makeBundle(t, f.bundle)
	f.unpacked = t.TempDir()
	harness.Must(t, "tar", "--zstd", "--extract", "--file", f.bundle, "--directory", f.unpacked)
	f.inventory, err = bundle.ParseInventory(strings.NewReader(string(harness.ReadFile(t, f.unpacked, "inventory.json"))))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// makeBundle runs nodeseal bundle over all images.
func (f *flow) makeBundle(t *testing.T, path string, flags ...string) {
	t.Helper()
	args := []string{"bundle", "--images", f.listOfRefs, "-o", path, "--registries-conf", f.conf}
	harness.MustNodeseal(t, append(args, flags...)...)
}

// importStore runs nodeseal import into a new store and returns its path.
func (f *flow) importStore(t *testing.T, flags ...string) string {
	t.Helper()
	store := harness.StorePath(t)
	harness.MustNodeseal(t, append([]string{"import", f.bundle, "--store", store}, flags...)...)
	return store
}
