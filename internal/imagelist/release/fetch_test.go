package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
)

// From a registry, through the real client.
func TestFetchFromRegistry(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	sample, err := samplerelease.Build(samplerelease.Options{})
	if err != nil {
		t.Fatal(err)
	}
	addr, closer, err := sample.Serve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer closer()
	conf := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(conf, []byte(samplerelease.RegistriesConf(addr)), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := pull.New(pull.Options{RegistriesConf: conf})
	if err != nil {
		t.Fatal(err)
	}
	want, _ := sample.Image(samplerelease.ReleaseImage)
	for _, ref := range []string{
		want.Ref, samplerelease.Prefix + "/" + samplerelease.ReleaseImage + ":" + samplerelease.ReleaseImage,
	} {
		p, err := Fetch(ctx, client, ref, "linux/amd64")
		if err != nil {
			t.Fatal(err)
		}
		if p.Image != want.Ref || p.Version != samplerelease.Version || (p.Tag == "") != (ref == want.Ref) {
			t.Errorf("payload of %s: image %s, tag %s, version %s", ref, p.Image, p.Tag, p.Version)
		}
		var l imagelist.List
		p.AddTo(&l, []string{"amd64"})
		if len(l.Unresolved()) != 0 || l.Len() != len(p.Components)+1 {
			t.Errorf("%d references of %d components", l.Len(), len(p.Components))
		}
	}
	busy, _ := sample.Image(sample.Images[0].Name)
	if _, err := Fetch(ctx, client, busy.Ref, "linux/amd64"); !errors.Is(err, ErrNotRelease) {
		t.Errorf("a component: error %v, want ErrNotRelease", err)
	}
}

// fake is a source of one image that has one layer.
type fake struct {
	manifest pull.Manifest
	layer    []byte
}

func (f fake) Manifest(context.Context, string) (pull.Manifest, error) { return f.manifest, nil }

func (f fake) Blob(context.Context, string, digest.Digest, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(f.layer)), nil
}

func newFake(t *testing.T, files map[string]string) fake {
	t.Helper()
	var layer bytes.Buffer
	zw := gzip.NewWriter(&layer)
	tw := tar.NewWriter(zw)
	for name, content := range files {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	m := v1.Manifest{MediaType: v1.MediaTypeImageManifest, Layers: []v1.Descriptor{{
		MediaType: v1.MediaTypeImageLayerGzip, Digest: digest.FromBytes(layer.Bytes()), Size: int64(layer.Len()),
	}}}
	m.SchemaVersion = 2
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return fake{pull.Manifest{Digest: digest.FromBytes(data), MediaType: m.MediaType, Bytes: data}, layer.Bytes()}
}

const bootImages = `apiVersion: v1
kind: ConfigMap
metadata:
  name: coreos-bootimages
  namespace: openshift-machine-config-operator
data:
  stream: |
    {"architectures":{"x86_64":{"images":{"kubevirt":{"digest-ref":"quay.io/boot/x86` + sum + `"}}},
     "aarch64":{"images":{"kubevirt":{"digest-ref":"quay.io/boot/arm` + sum + `"}}}}}
`

func TestFetch(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	files := map[string]string{
		"release-manifests/image-references":                         stream(`{"name":"pod","from":{"kind":"DockerImage","name":"quay.io/a/b` + sum + `"}}`),
		"./release-manifests/release-metadata":                       `{"kind":"cincinnati-metadata-v0","version":"4.99.1"}`,
		"release-manifests/0000_50_installer_coreos-bootimages.yaml": bootImages,
		"release-manifests/0000_00_other.yaml":                       "garbage: [",
	}
	src := newFake(t, files)
	p, err := Fetch(ctx, src, "quay.io/x/release:4.99.1", "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	if p.Version != "4.99.1" || len(p.Components) != 1 || len(p.BootImages) != 2 || p.Tag != "quay.io/x/release:4.99.1" {
		t.Errorf("payload %+v", p)
	}
	var l imagelist.List
	p.AddTo(&l, []string{"arm64"})
	var refs []string
	for _, e := range l.Entries() {
		refs = append(refs, strings.TrimSuffix(e.Ref, sum))
	}
	if strings.Join(refs[:2], " ") != "quay.io/a/b quay.io/boot/arm" || len(refs) != 3 {
		t.Errorf("references %q: want the boot image of arm64 only", refs)
	}

	damaged := src
	damaged.layer = bytes.Clone(src.layer)
	damaged.layer[5] ^= 1 // the time in gzip's header: decodes to the same
	if _, err := Fetch(ctx, damaged, "quay.io/x/release:1", "linux/amd64"); !errors.Is(err, pull.ErrDigest) {
		t.Errorf("a damaged layer: error %v, want pull.ErrDigest", err)
	}
	cut := src
	cut.layer = src.layer[:len(src.layer)/2]
	if _, err := Fetch(ctx, cut, "quay.io/x/release:1", "linux/amd64"); err == nil {
		t.Error("a layer that is cut off passes")
	}
	files["release-manifests/image-references"] = stream(`{"name":"pod","from":{"kind":"DockerImage","name":"quay.io/a/b:v1"}}`)
	if _, err := Fetch(ctx, newFake(t, files), "quay.io/x/release:1", "linux/amd64"); !errors.Is(err, ErrReferences) {
		t.Errorf("a tag instead of a digest: error %v, want ErrReferences", err)
	}
	delete(files, "release-manifests/image-references")
	if _, err := Fetch(ctx, newFake(t, files), "quay.io/x/release:1", "linux/amd64"); !errors.Is(err, ErrNotRelease) {
		t.Errorf("no image-references: error %v, want ErrNotRelease", err)
	}
}
