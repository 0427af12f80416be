//go:build e2e

package e2e

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// testUnpack holds that what tar makes of a bundle is an OCI layout of which
// skopeo reads every image, with all blobs, and that the image is the one of the
// inventory: an image's ID is the digest of its config.
func (f *flow) testUnpack(t *testing.T) {
	var index v1.Index
	if err := json.Unmarshal(harness.ReadFile(t, f.unpacked, "index.json"), &index); err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, desc := range index.Manifests {
		named = append(named, desc.Annotations[v1.AnnotationRefName])
	}
	configs := make(map[string]digest.Digest)
	for _, img := range f.inventory.Images {
		configs[img.Ref] = img.Config.Digest
	}
	for _, ref := range f.refs {
		if !slices.Contains(named, ref) {
			t.Errorf("index.json has no %s", ref)
			continue
		}
		source := "oci:" + f.unpacked + ":" + ref
		config := harness.Must(t, "skopeo", "inspect", "--raw", "--config", source)
		if got := digest.FromBytes(config); got != configs[ref] {
			t.Errorf("%s: skopeo finds image ID %s, the inventory has %s", ref, got, configs[ref])
		}
		harness.Must(t, "skopeo", "copy", "--insecure-policy", source, "dir:"+filepath.Join(t.TempDir(), "copy"))
	}
}

// testDeterministic holds that the number of jobs does not show in the bundle.
func (f *flow) testDeterministic(t *testing.T) {
	want := harness.HashFile(t, f.bundle)
	for _, jobs := range []string{"1", "8"} {
		path := filepath.Join(t.TempDir(), "again.tar.zst")
		f.makeBundle(t, path, "--jobs", jobs)
		if got := harness.HashFile(t, path); got != want {
			t.Errorf("--jobs %s: sha256 %s, want %s", jobs, got, want)
		}
	}
}
