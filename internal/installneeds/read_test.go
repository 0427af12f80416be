package installneeds

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist/release"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
)

// fake is a bundle in memory.
type fake struct {
	inv   bundle.Inventory
	blobs map[digest.Digest][]byte
}

func (f *fake) Inventory() *bundle.Inventory { return &f.inv }

func (f *fake) ReadBlob(_ context.Context, d digest.Digest) ([]byte, error) {
	if data, ok := f.blobs[d]; ok {
		return data, nil
	}
	return nil, bundle.ErrNoBlob
}

func (f *fake) OpenLayer(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	data, err := f.ReadBlob(ctx, d)
	return io.NopCloser(bytes.NewReader(data)), err
}

func (f *fake) blob(data []byte) digest.Digest {
	d := digest.FromBytes(data)
	f.blobs[d] = data
	return d
}

// add puts an image with a label and, for a release, its list of images into the bundle.
func (f *fake) add(t *testing.T, config string, files map[string]string) {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	d := f.blob(layer.Bytes())
	img := bundle.Image{
		Ref:    fmt.Sprintf("quay.io/made-up/image%d@%s", len(f.inv.Images), digest.FromString(config)),
		Config: bundle.Config{Digest: f.blob([]byte(config))}, Layers: []bundle.Layer{{Digest: d, DiffID: d}},
	}
	f.inv.Images = append(f.inv.Images, img)
}

func newFake() *fake {
	return &fake{inv: bundle.Inventory{Layers: bundle.Expanded}, blobs: make(map[digest.Digest][]byte)}
}

func label(version string) string {
	return `{"config":{"Labels":{"` + versionLabel + `":"` + version + `"}}}`
}

func payloadOf(version string) map[string]string {
	return map[string]string{
		"release-manifests/image-references": `{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"name":"` + version + `"},"spec":{"tags":[` +
			`{"name":"pod","from":{"kind":"DockerImage","name":"quay.io/a/b@` + string(digest.FromString("pod")) + `"}}]}}`,
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	b := newFake()
	b.add(t, `{"config":{"Labels":["of","another","form"]}}`, nil)
	b.add(t, label("4.18.3"), payloadOf("4.18.3"))
	b.add(t, label("4.18.5"), payloadOf("4.18.5"))
	b.add(t, label("4.20.1"), payloadOf("4.20.1"))
	b.add(t, label("4.21.0"), nil)
	b.add(t, label("4.22.3"), payloadOf("4.17.9"))
	b.add(t, label("4.23.0-rc.1"), payloadOf("4.23.0-rc.2"))
	for version, want := range map[string]string{"4.18.5": "4.18.5", "4.20": "4.20.1", "4.20.1": "4.20.1"} {
		v, _ := ocp.Read(version)
		p, err := Read(t.Context(), b, v)
		if err != nil || p.Version != want || len(p.Components) != 1 || !strings.HasPrefix(p.Image, "quay.io/made-up/image") {
			t.Errorf("%s: %+v, %v", version, p, err)
		}
	}
	for version, want := range map[string]error{
		"4.18": ErrSeveral, "4.18.4": ErrNoRelease, "4.19": ErrNoRelease, "5.20": ErrNoRelease, "4.21": release.ErrNotRelease,
		"4.22": ErrContradicts, "4.22.3": ErrContradicts, "4.23": ErrContradicts,
	} {
		v, _ := ocp.Read(version)
		if p, err := Read(t.Context(), b, v); !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v, want %v", version, p, err, want)
		}
	}
	v, _ := ocp.Read("4.18")
	if _, err := Read(t.Context(), newFake(), v); !errors.Is(err, ErrNoRelease) {
		t.Errorf("a bundle without images: %v", err)
	}
	b.inv.Base = new(bundle.Base)
	if _, err := Read(t.Context(), b, v); !errors.Is(err, ErrBase) {
		t.Errorf("a bundle with a base: %v", err)
	}
}

func TestFlavors(t *testing.T) {
	t.Parallel()
	for _, s := range Flavors() {
		if f, err := ParseFlavor(s); err != nil || string(f) != s {
			t.Errorf("%s: %s, %v", s, f, err)
		}
	}
	for _, s := range []string{"", "ipi", "Agent"} {
		if f, err := ParseFlavor(s); !errors.Is(err, ErrFlavor) {
			t.Errorf("%q is taken as %s: %v", s, f, err)
		}
	}
}
