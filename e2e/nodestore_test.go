//go:build e2e

package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// A store that skopeo filled becomes a bundle with no registry at all, and the
// bundle a store elsewhere, with the manifests that the registry gave.
func TestBundleFromStore(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	harness.Binary(t)
	sample, err := samplerelease.Build(samplerelease.Options{})
	if err != nil {
		t.Fatal(err)
	}
	addr, stop, err := sample.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	root, run := harness.GraphRoot(t), t.TempDir()
	for _, img := range sample.Images {
		harness.Must(t, "skopeo", "copy", "--src-tls-verify=false", "docker://"+addr+strings.TrimPrefix(img.Ref, samplerelease.Registry),
			"containers-storage:[overlay@"+root+"+"+run+"]"+img.Ref)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// Whoever asks a registry now gets nothing.
	conf := harness.WriteFile(t, "registries.conf", "[[registry]]\nlocation = \"quay.io\"\nblocked = true\n")
	file := filepath.Join(t.TempDir(), "node.tar.zst")
	harness.MustNodeseal(t, "bundle", "--store", root, "--registries-conf", conf, "-o", file)
	harness.MustNodeseal(t, "verify", file)
	var inspected struct {
		Inventory bundle.Inventory `json:"inventory"`
	}
	if err := json.Unmarshal(harness.MustNodeseal(t, "inspect", file, "--json").Stdout, &inspected); err != nil {
		t.Fatal(err)
	}
	store := harness.StorePath(t)
	harness.MustNodeseal(t, "import", file, "--store", store, "--no-seal")
	imported := harness.Images(t, store)
	// The store is a base, too, of a bundle that leaves all of its layers out.
	delta, based := filepath.Join(t.TempDir(), "delta.tar.zst"), harness.StorePath(t)
	harness.MustNodeseal(t, "bundle", "--store", root, "--registries-conf", conf, "-o", delta, "--since", file)
	harness.MustNodeseal(t, "verify", delta, "--base", root)
	harness.MustNodeseal(t, "import", delta, "--base", root, "--store", based, "--no-seal")
	harness.MustNodeseal(t, "verify", based)
	if got := harness.Images(t, based); len(got) != len(imported) {
		t.Errorf("the store that was made on it has %d images, want %d", len(got), len(imported))
	}
	for _, img := range sample.Images {
		held := false
		for _, b := range inspected.Inventory.Images {
			held = held || b.Digest == img.Manifest && b.MediaType == img.MediaType && b.Config.Digest == img.Config
		}
		if !held {
			t.Errorf("the bundle does not hold %s with manifest %s", img.Ref, img.Manifest)
		}
		if _, ok := imported[img.Config.Encoded()].BigDataDigests["manifest-"+img.Manifest.String()]; !ok {
			t.Errorf("the imported store does not hold %s with manifest %s", img.Ref, img.Manifest)
		}
	}
}
