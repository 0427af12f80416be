package samplerelease

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"
)

func build(t *testing.T, opts Options) *Release {
	t.Helper()
	r, err := Build(opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// withoutOptions is the release of no options, made once: nothing changes it.
var withoutOptions = sync.OnceValues(func() (*Release, error) { return Build(Options{}) })

func buildPlain(t *testing.T) *Release {
	t.Helper()
	r, err := withoutOptions()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func program(t *testing.T) *Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("\x7fELF"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Program{Path: path, Args: []string{"write"}}
}

// TestBuildIsDeterministic holds that nothing comes from a clock or from chance.
func TestBuildIsDeterministic(t *testing.T) {
	t.Parallel()
	opts := Options{Writer: program(t)}
	a, b := build(t, opts), build(t, opts)
	if a.ImagesList() != b.ImagesList() {
		t.Errorf("two lists differ:\n%s\n%s", a.ImagesList(), b.ImagesList())
	}
	if got, want := slices.Sorted(maps.Keys(a.blobs)), slices.Sorted(maps.Keys(b.blobs)); !slices.Equal(got, want) {
		t.Errorf("two sets of blobs differ")
	}
}

// TestServe pulls every image from the registry with an independent client that
// verifies all digests, for both architectures.
func TestServe(t *testing.T) {
	t.Parallel()
	r := build(t, Options{Writer: program(t)})
	addr, closer, err := r.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closer(); err != nil {
			t.Error(err)
		}
	})
	for _, img := range r.Images {
		t.Run(img.Name, func(t *testing.T) {
			path, _ := strings.CutPrefix(img.Ref, Registry+"/")
			ref, err := name.NewDigest(addr+"/"+path, name.Insecure)
			if err != nil {
				t.Fatal(err)
			}
			tag := ref.Context().Tag(img.Name)
			if desc, err := remote.Head(tag, remote.WithContext(t.Context())); err != nil || desc.Digest.String() != ref.DigestStr() {
				t.Errorf("tag %s: %v, %v, want digest %s", tag, desc, err, ref.DigestStr())
			}
			archs := []string{"amd64"}
			if img.Index != "" {
				archs = append(archs, "arm64")
			}
			for _, arch := range archs {
				got, err := remote.Image(ref, remote.WithContext(t.Context()), remote.WithPlatform(ggcr.Platform{OS: "linux", Architecture: arch}))
				if err != nil {
					t.Fatal(err)
				}
				checkLayers(t, got)
				if d, err := got.Digest(); err != nil || (arch == "amd64") != (d.String() == img.Manifest.String()) {
					t.Errorf("%s: manifest %s, error %v; that of amd64 is to be %s", arch, d, err, img.Manifest)
				}
			}
		})
	}
}

// checkLayers reads all layers of img and compares them with its config.
func checkLayers(t *testing.T, img ggcr.Image) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != len(config.RootFS.DiffIDs) {
		t.Fatalf("%d layers for %d diff IDs", len(layers), len(config.RootFS.DiffIDs))
	}
	for i, layer := range layers {
		r, err := layer.Uncompressed() // verifies the blob's digest
		if err != nil {
			t.Fatal(err)
		}
		d, err := digest.FromReader(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Errorf("layer %d: %v", i, err)
		}
		if want := config.RootFS.DiffIDs[i].String(); d.String() != want {
			t.Errorf("layer %d: %s, want %s", i, d, want)
		}
	}
}

func TestBuildVariety(t *testing.T) {
	t.Parallel()
	r := buildPlain(t)
	types := make(map[string]int)
	for _, m := range r.manifests {
		types[m.mediaType]++
		for _, l := range m.layers {
			types[l.MediaType]++
		}
	}
	for _, want := range []string{
		dockerManifest, dockerList, dockerLayer, dockerLayerPlain,
		"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
		"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+zstd",
	} {
		if types[want] == 0 {
			t.Errorf("nothing of type %s", want)
		}
	}
	twin, _ := r.Image("keepalived-ipfailover")
	other, _ := r.Image("keepalived-twin")
	if twin.Config != other.Config || twin.Manifest == other.Manifest {
		t.Errorf("twins: configs %s, %s, want one; manifests %s, %s, want two", twin.Config, other.Config, twin.Manifest, other.Manifest)
	}
	if _, ok := r.Image(WriterImage); ok {
		t.Error("a writer image without a program")
	}
}

// TestSingleUID holds that a namespace with one id can make all the files.
func TestSingleUID(t *testing.T) {
	t.Parallel()
	for _, single := range []bool{false, true} {
		var owners, devices int
		for _, layer := range []tree{ownerLayer(), baseLayer()} {
			data, err := layer.tar(single)
			if err != nil {
				t.Fatal(err)
			}
			for r := tar.NewReader(strings.NewReader(string(data))); ; {
				h, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				if h.Uid != 0 || h.Gid != 0 {
					owners++
				}
				if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
					devices++
				}
			}
		}
		if (owners == 0) != single || (devices == 0) != single {
			t.Errorf("SingleUID %v: %d files of others, %d devices", single, owners, devices)
		}
	}
}

// TestReleaseImage reads the payload's references back from the release image's
// last layer, as OpenShift's own tools do.
func TestReleaseImage(t *testing.T) {
	t.Parallel()
	r := buildPlain(t)
	img, ok := r.Image(ReleaseImage)
	if !ok {
		t.Fatal("no release image")
	}
	references, err := imageReferences(r.Images[:len(r.Images)-1], Version)
	if err != nil {
		t.Fatal(err)
	}
	layers := releaseSpec(references, Version).layers
	data, err := layers[len(layers)-1].tar(false)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := digest.FromBytes(data), img.DiffIDs[len(img.DiffIDs)-1]; got != want {
		t.Errorf("last layer is %s, want %s", got, want)
	}
	var stream struct {
		Spec struct {
			Tags []struct {
				Name string
				From struct{ Kind, Name string }
			}
		}
	}
	if err := json.Unmarshal(references, &stream); err != nil {
		t.Fatal(err)
	}
	for i, tag := range stream.Spec.Tags {
		if tag.Name != r.Images[i].Name || tag.From.Kind != "DockerImage" || tag.From.Name != r.Images[i].Ref {
			t.Errorf("tag %+v, want %s %s", tag, r.Images[i].Name, r.Images[i].Ref)
		}
	}
	if len(stream.Spec.Tags) != len(r.Images)-1 {
		t.Errorf("%d tags for %d images beside the release image", len(stream.Spec.Tags), len(r.Images)-1)
	}
}

// TestRegistriesConf asks the library that CRI-O uses where it would pull from.
func TestRegistriesConf(t *testing.T) {
	t.Parallel()
	const addr = "127.0.0.1:5000"
	path := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(path, []byte(RegistriesConf(addr)), 0o644); err != nil {
		t.Fatal(err)
	}
	img, _ := buildPlain(t).Image("pod")
	found, err := sysregistriesv2.FindRegistry(&types.SystemContext{
		SystemRegistriesConfPath: path, SystemRegistriesConfDirPath: t.TempDir(),
	}, img.Ref)
	if err != nil || found == nil {
		t.Fatalf("%s: %v, %v", img.Ref, found, err)
	}
	for _, endpoint := range append(found.Mirrors, found.Endpoint) {
		if endpoint.Location != addr+"/nodeseal-demo" || !endpoint.Insecure {
			t.Errorf("endpoint %+v, want %s/nodeseal-demo, insecure", endpoint, addr)
		}
	}
}

func TestBuildWithoutProgram(t *testing.T) {
	t.Parallel()
	_, err := Build(Options{Writer: &Program{Path: filepath.Join(t.TempDir(), "missing")}})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one that wraps os.ErrNotExist", err)
	}
}
