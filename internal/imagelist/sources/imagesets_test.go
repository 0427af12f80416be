package sources

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

var update = flag.Bool("update", false, "write the golden files")

// published is a registry with every release of OpenShift, and one catalog under every name: made up.
type published struct{ blobs map[digest.Digest][]byte }

// operators are the versions of the catalog's packages by channel, oldest first.
func operators() map[string]map[string][]string {
	return map[string]map[string][]string{
		"cluster-logging":                 {"stable-5.6": {"5.6.10", "5.6.11", "5.6.12"}, "stable": {"5.7.0"}},
		"elasticsearch-operator":          {"stable-5.6": {"5.6.11"}, "stable-v0": {"0.1.0", "0.2.0"}},
		"sriov-network-operator":          {"stable": {"4.10.0-202308261301", "4.10.0-202309"}},
		"rhcl-operator":                   {"stable": {"1.0.0", "1.1.0"}},
		"authorino-operator":              {"stable": {"1.0.0"}, "preview": {"1.1.0"}},
		"dns-operator":                    {"stable": {"1.0.0"}},
		"servicemeshoperator3":            {"stable": {"3.0.0", "3.1.0"}},
		"kubevirt-hyperconverged":         {"stable": {"4.10.4", "4.21.0"}},
		"numaresources-operator":          {"4.21": {"4.21.0"}},
		"openshift-pipelines-operator-rh": {"latest": {"1.17.0", "1.18.0", "1.19.0"}, "pipelines-1.18": {"1.18.0", "1.18.1"}},
		"openshift-gitops-operator":       {"latest": {"1.15.0", "1.16.0"}},
		"rhacs-operator":                  {"stable": {"3.66.0", "3.67.0", "3.68.0"}, "old": {"3.65.0"}},
		"mtc-operator":                    {"release-1.7": {"1.7.0", "1.7.3", "1.7.5", "1.7.6"}},
		"kubernetes-nmstate-operator":     {"stable": {"4.10.0-202209050827"}},
	}
}

func fileBasedCatalog() string {
	var b strings.Builder
	all := operators()
	for _, pkg := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "schema: olm.package\nname: %s\n---\n", pkg)
		done := make(map[string]bool)
		for _, ch := range slices.Sorted(maps.Keys(all[pkg])) {
			fmt.Fprintf(&b, "schema: olm.channel\npackage: %s\nname: %q\nentries:\n", pkg, ch)
			for i, v := range all[pkg][ch] {
				fmt.Fprintf(&b, "- name: %s.v%s\n", pkg, v)
				if i > 0 {
					fmt.Fprintf(&b, "  replaces: %s.v%s\n", pkg, all[pkg][ch][i-1])
				}
			}
			b.WriteString("---\n")
			for _, v := range all[pkg][ch] {
				if !done[v] {
					fmt.Fprintf(&b, "schema: olm.bundle\npackage: %s\nname: %s.v%s\nimage: registry.example.com/%s/bundle@%s\nrelatedImages:\n- image: registry.example.com/%s/operator@%s\nproperties:\n- type: olm.package\n  value: {version: %q}\n---\n",
						pkg, pkg, v, pkg, digest.FromString("bundle"+v), pkg, digest.FromString(v), v)
				}
				done[v] = true
			}
		}
	}
	return b.String()
}

func (p published) put(data []byte) v1.Descriptor {
	d := digest.FromBytes(data)
	p.blobs[d] = data
	return v1.Descriptor{Digest: d, Size: int64(len(data))}
}

// image makes one with a file in its only layer.
func (p published) image(name, content string, labels map[string]string) (pull.Manifest, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(content)), Mode: 0o644}); err != nil {
		return pull.Manifest{}, err
	}
	if _, err := io.WriteString(w, content); err != nil {
		return pull.Manifest{}, err
	}
	if err := w.Close(); err != nil {
		return pull.Manifest{}, err
	}
	config, err := json.Marshal(v1.Image{Config: v1.ImageConfig{Labels: labels}})
	if err != nil {
		return pull.Manifest{}, err
	}
	data, err := json.Marshal(v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, Config: p.put(config), Layers: []v1.Descriptor{p.put(layer.Bytes())}})
	if err != nil {
		return pull.Manifest{}, err
	}
	return pull.Manifest{Digest: p.put(data).Digest, MediaType: v1.MediaTypeImageManifest, Bytes: data}, nil
}

func (p published) Manifest(_ context.Context, ref string) (pull.Manifest, error) {
	if _, d := imagelist.Split(ref); d != "" {
		data, ok := p.blobs[d]
		if !ok {
			return pull.Manifest{}, errNone
		}
		return pull.Manifest{Digest: d, MediaType: v1.MediaTypeImageManifest, Bytes: data}, nil
	}
	if tag, ok := strings.CutPrefix(ref, "quay.io/openshift-release-dev/ocp-release:"); ok {
		version, arch, _ := strings.Cut(tag, "-")
		if arch == "x86" {
			return pull.Manifest{}, errNone
		}
		component := func(name string) string {
			return fmt.Sprintf(`{"name":%q,"from":{"kind":"DockerImage","name":"quay.io/openshift-release-dev/ocp-v4.0-art-dev@%s"}}`, name, digest.FromString(name+tag))
		}
		return p.image("release-manifests/image-references", fmt.Sprintf(`{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"name":%q},"spec":{"tags":[%s,%s]}}`,
			version, component("etcd"), component("rhel-coreos")), nil)
	}
	if strings.Contains(ref, "index:") || strings.Contains(ref, "catalog:") {
		return p.image("configs/catalog.yaml", fileBasedCatalog(), map[string]string{"operators.operatorframework.io.index.configs.v1": "/configs"})
	}
	return pull.Manifest{}, errNone
}

func (p published) Blob(_ context.Context, _ string, d digest.Digest, _, _ int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(p.blobs[d])), nil
}

func (p published) Reject(digest.Digest) {}

func (p published) Head(_ context.Context, ref string) (v1.Descriptor, error) {
	return v1.Descriptor{Digest: digest.FromString(ref)}, nil
}

// TestImageSets: what is made of configurations as people publish them. Their golden files stand beside them.
func TestImageSets(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/imagesets/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		var notes []string
		s := Sources{
			ImageSets: []File{{Name: filepath.Base(path), Open: func() (io.ReadCloser, error) { return os.Open(path) }}}, Resolve: true,
			Connect: func([]mirrors.Rule) (Registry, error) { return published{make(map[digest.Digest][]byte)}, nil },
			Progress: func(e progress.Event) {
				if e.Kind == progress.Warning {
					notes = append(notes, e.Message)
				}
			},
		}
		r, err := s.Gather(t.Context())
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var out strings.Builder
		if r.Release != nil {
			fmt.Fprintf(&out, "release %s\n", r.Release.Version)
		}
		for _, e := range r.Images {
			fmt.Fprintf(&out, "%s\n", strings.Join(append(append([]string{e.Ref}, e.Names...), e.Platforms...), " "))
			for _, from := range e.From {
				fmt.Fprintf(&out, "    %s\n", from)
			}
		}
		for _, n := range notes {
			fmt.Fprintf(&out, "note: %s\n", n)
		}
		for _, p := range r.Problems {
			fmt.Fprintf(&out, "problem: %s\n", p)
		}
		golden := strings.TrimSuffix(path, ".yaml") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(out.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || string(want) != out.String() {
			t.Errorf("%s: %v, got\n%s", golden, err, out.String())
		}
	}
}

// TestImageSetRefused: files that are something else.
func TestImageSetRefused(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"apiVersion: v1\nkind: Pod\n": `kind "Pod", want ImageSetConfiguration`,
		"apiVersion: mirror.openshift.io/v1alpha1\nkind: ImageSetConfiguration\n":                                       "want mirror.openshift.io/v1alpha2 or",
		"apiVersion: mirror.openshift.io/v2alpha1\nkind: DeleteImageSetConfiguration\n":                                 "kind \"DeleteImageSetConfiguration\"",
		"apiVersion: mirror.openshift.io/v2alpha1\nkind: ImageSetConfiguration\nmirror: [":                              "document 1",
		"apiVersion: mirror.openshift.io/v2alpha1\nkind: ImageSetConfiguration\nmirror: {blockedImages: [{name: '('}]}": "blockedImages \"(\"",
		"": "the file has no object",
		"apiVersion: mirror.openshift.io/v2alpha1\nkind: ImageSetConfiguration\nmirror: {}\nmirror: {}\n":                                           `"mirror" already set`,
		`{"apiVersion":"mirror.openshift.io/v2alpha1","kind":"ImageSetConfiguration","mirror":{"additionalImages":[],"additionalimages":[]}}`:       `"additionalimages" twice`,
		"apiVersion: mirror.openshift.io/v2alpha1\nkind: ImageSetConfiguration\nmirror: {platform: {channels: [{name: stable, minVersion: 4.10}]}}": "the number 4.1 stands where text is wanted: write it in quotes",
		"apiVersion: mirror.openshift.io/v2alpha1\nkind: ImageSetConfiguration\nmirror: {operators: [{packages: [{channels: [{name: 4.20}]}]}]}":    "write it in quotes",
	} {
		_, err := Sources{ImageSets: []File{text("x.yaml", content)}}.Gather(t.Context())
		if err == nil || !strings.Contains(err.Error(), "x.yaml: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
	head := "apiVersion: mirror.openshift.io/v2alpha1\nkind: ImageSetConfiguration\nmirror:\n"
	for content, want := range map[string]string{
		"  additionalimages: []\n  aditionalImages: [{name: quay.io/a/b:1}]\n": `the field "aditionalImages" is not known`,
		"  additionalImages: [{name: ubi9/ubi}]\n":                             "additionalImages: reference \"ubi9/ubi\": short name",
		"  platform: {channels: [{name: 4-stable, type: okd}]}\n":              "channel 4-stable of OKD is left out",
		"  platform: {architectures: [riscv64]}\n":                             `no releases for "riscv64"`,
		"  platform: {release: quay.io/a/none:1}\n":                            "the payload of release quay.io/a/none:1 could not be read",
		"  operators: [{catalog: quay.io/a/none:1}]\n":                         "the catalog quay.io/a/none:1 could not be read",
		"  operators: [{catalog: oci:///x}]\n":                                 "catalog oci:///x",
	} {
		r, err := Sources{
			ImageSets: []File{text("x.yaml", head+content)},
			Connect:   func([]mirrors.Rule) (Registry, error) { return published{make(map[digest.Digest][]byte)}, nil },
		}.Gather(t.Context())
		if err != nil || len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Error(), want) {
			t.Errorf("%q: %v, %v, want %s", content, r, errors.Join(err), want)
		}
	}
}

// TestImageSetPlatforms: an image keeps what it asks for itself, else the file's architectures; blocked ones are named.
func TestImageSetPlatforms(t *testing.T) {
	t.Parallel()
	images := "  additionalImages:\n  - {name: quay.io/a/own:1, platforms: [{os: linux, architecture: arm64}]}\n  - {name: quay.io/a/none:1}\n" +
		"  - {name: quay.io/a/both:1}\n  - {name: quay.io/a/both:1, platforms: [{os: linux, architecture: arm64}]}\n  - {name: quay.io/a/blocked:1}\n  blockedImages: [{name: blocked}]\n"
	for archs, want := range map[string]string{
		"[amd64, s390x]": "quay.io/a/both:1 [linux/amd64 linux/arm64 linux/s390x] quay.io/a/none:1 [linux/amd64 linux/s390x] quay.io/a/own:1 [linux/arm64] ",
		"[]":             "quay.io/a/both:1 [linux/amd64 linux/arm64] quay.io/a/none:1 [] quay.io/a/own:1 [linux/arm64] ",
	} {
		notes, got := "", ""
		r, err := Sources{
			ImageSets: []File{text("x.yaml", "apiVersion: mirror.openshift.io/v2alpha1\nkind: ImageSetConfiguration\nmirror:\n  platform: {architectures: "+archs+"}\n"+images)},
			Progress: func(e progress.Event) {
				if e.Kind == progress.Warning {
					notes += e.Message
				}
			},
		}.Gather(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range r.Images {
			got += fmt.Sprint(e.Ref, " ", e.Platforms, " ")
		}
		if got != want || !strings.Contains(notes, "blockedImages leaves out 1 that it asks for: quay.io/a/blocked:1") {
			t.Errorf("%s: %s, notes %s", archs, got, notes)
		}
	}
}
