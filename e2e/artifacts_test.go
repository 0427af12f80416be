//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// TestArtifacts has OCI artifacts in sealed stores of both forms. libartifact, with which
// CRI-O reads them, sees each under each of its names and mounts the right files; skopeo
// copies them from nodeseal serve.
func TestArtifacts(t *testing.T) {
	testenv.NeedRoot(t)
	tool, err := filepath.Abs("../bin/tools/libartifact")
	if err == nil {
		_, err = os.Stat(tool)
	}
	testenv.Require(t, err == nil, "make e2e-tools has not built libartifact: %v", err)
	files := map[string]string{"chart.tgz": "\x1f\x8b a chart", "values.yaml": "a: 1\n"}
	content := testregistry.NewContent(t.TempDir())
	chart := addArtifact(t, content, "ns/chart", files)
	addr, stop, err := (&testregistry.Registry{Content: content}).Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	const name, tag = "registry.example.com/ns/chart", "registry.example.com/ns/chart:1.0"
	path := filepath.Join(t.TempDir(), "artifacts.tar.zst")
	harness.MustNodeseal(t, "bundle", "-o", path, "--no-attachments", "--images", harness.WriteFile(t, "images.lst", tag+"\n"),
		"--registries-conf", harness.WriteFile(t, "registries.conf", testregistry.RegistriesConf("registry.example.com", addr)))
	for _, format := range []string{formatDir, formatImage} {
		t.Run(format, func(t *testing.T) {
			store := harness.StorePath(t)
			harness.MustNodeseal(t, "import", path, "--store", store, "--format", format)
			harness.MustNodeseal(t, "verify", store)
			want := make(map[string]string)
			for _, ref := range []string{tag, name + "@" + chart.String()} {
				for title, data := range files {
					want[ref+" "+title] = data
				}
			}
			for _, line := range strings.Split(strings.TrimSpace(string(harness.Must(t, tool, store))), "\n") {
				field := strings.SplitN(line, " ", 3)
				key := field[0] + " " + field[1]
				if data, err := os.ReadFile(field[2]); err != nil || string(data) != want[key] {
					t.Errorf("%s: %q, %v, want %q", line, data, err, want[key])
				}
				delete(want, key)
			}
			for key := range want {
				t.Errorf("libartifact does not see %s", key)
			}
			served := startServe(t, "--store", store)
			out := filepath.Join(t.TempDir(), "oci")
			harness.Must(t, "skopeo", "copy", "--quiet", "--src-tls-verify=false", fmt.Sprintf("docker://%s/%s", served, tag), "oci:"+out+":x")
			var index v1.Index
			if err := json.Unmarshal(harness.ReadFile(t, out, "index.json"), &index); err != nil || len(index.Manifests) != 1 || index.Manifests[0].Digest != chart {
				t.Errorf("skopeo copied %+v, %v, want %s", index.Manifests, err, chart)
			}
		})
	}
}

// addArtifact adds an artifact with the files, tagged 1.0.
func addArtifact(t *testing.T, content *testregistry.Content, repository string, files map[string]string) digest.Digest {
	t.Helper()
	add := func(mediaType, title, data string) v1.Descriptor {
		d, err := content.AddBlob([]byte(data))
		if err != nil {
			t.Fatal(err)
		}
		return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data)), Annotations: map[string]string{v1.AnnotationTitle: title}}
	}
	m := v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		ArtifactType: "application/vnd.example+json", Config: v1.DescriptorEmptyJSON,
	}
	if _, err := content.AddBlob(v1.DescriptorEmptyJSON.Data); err != nil {
		t.Fatal(err)
	}
	for title, data := range files {
		m.Layers = append(m.Layers, add("application/octet-stream", title, data))
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return content.AddManifest(repository, v1.MediaTypeImageManifest, data, "1.0")
}
