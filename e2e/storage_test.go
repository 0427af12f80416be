//go:build e2e

package e2e

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestStorage has every version of the storage library that is built read sealed stores
// of both forms. Each lists what is recorded, makes each layer again with its diff ID, and
// mounts each image, also with IDs of its own, with the same files and without a copy.
func TestStorage(t *testing.T) {
	testenv.NeedRoot(t)
	versions, err := filepath.Glob(filepath.Join(toolsDir(t), "storage", "[0-9]*[0-9]"))
	testenv.Require(t, err == nil && len(versions) > 0, "the test needs the programs of e2e/tools/storage, built by make e2e-tools")
	sample, err := samplerelease.Build(samplerelease.Options{})
	if err != nil {
		t.Fatal(err)
	}
	addr, stop, err := sample.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sample.tar.zst")
	var refs []string
	for _, img := range sample.Images {
		refs = append(refs, img.Ref)
	}
	harness.MustNodeseal(t, "bundle", "-o", path, "--images", harness.WriteFile(t, "images.lst", strings.Join(refs, "\n")+"\n"),
		"--registries-conf", harness.WriteFile(t, "registries.conf", samplerelease.RegistriesConf(addr)))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	roots := make(map[string]string) // digests of files, by image: the same in both forms and all versions
	for _, format := range []string{formatDir, formatImage} {
		store := harness.StorePath(t)
		harness.MustNodeseal(t, "import", path, "--store", store, "--format", format)
		before := harness.ReadTree(t, store)
		for _, program := range versions {
			t.Run(format+"/"+filepath.Base(program), func(t *testing.T) {
				sees(t, program, store, refs, roots)
				for _, line := range harness.Diff(before, harness.ReadTree(t, store), nil) {
					t.Errorf("the store afterwards: %s", line)
				}
			})
		}
	}
}

// libraryImage and libraryLayer are what the programs of e2e/tools/storage print.
type libraryImage struct {
	ID, Digest    string
	Names         []string
	BigData       map[string]string
	Plain, Mapped struct {
		Files  string
		Copied int64
	}
}

type libraryLayer struct{ ID, Parent, Diff, Compressed, Rebuilt string }

// sees holds what a version of the library sees to the records of the store.
func sees(t *testing.T, program, store string, refs []string, roots map[string]string) {
	t.Helper()
	var seen struct {
		Images []libraryImage
		Layers []libraryLayer
	}
	out := harness.Run(t, program, harness.GraphRoot(t), t.TempDir(), store)
	if err := json.Unmarshal(out.Stdout, &seen); err != nil || out.Code != 0 {
		t.Fatalf("%v, exit code %d\n%s", err, out.Code, out.Stderr)
	}
	images, layers := harness.Images(t, store), harness.Layers(t, store)
	if len(seen.Images) != len(images) || len(seen.Layers) != len(layers) {
		t.Errorf("%d images and %d layers, want %d and %d", len(seen.Images), len(seen.Layers), len(images), len(layers))
	}
	var names []string
	for _, img := range seen.Images {
		want := images[img.ID]
		names = append(names, img.Names...)
		slices.Sort(want.Names)
		if img.Digest != want.Digest || !slices.Equal(img.Names, want.Names) || !reflect.DeepEqual(img.BigData, want.BigDataDigests) {
			t.Errorf("image %+v\nwant %+v", img, want)
		}
		if first := roots[img.ID]; first == "" {
			roots[img.ID] = img.Plain.Files
		} else if img.Plain.Files != first {
			t.Errorf("image %s has other files than before", img.ID)
		}
		if img.Mapped.Files != img.Plain.Files {
			t.Errorf("image %s with IDs of its own has other files", img.ID)
		}
		if img.Plain.Copied != 0 || img.Mapped.Copied != 0 {
			t.Errorf("containers of image %s copy %d bytes, with IDs of their own %d", img.ID, img.Plain.Copied, img.Mapped.Copied)
		}
	}
	for _, ref := range refs {
		if !slices.Contains(names, ref) {
			t.Errorf("no image has the name %s", ref)
		}
	}
	for _, l := range seen.Layers {
		want := layers[l.ID]
		// The library follows a link that is a directory of the path from the machine's root,
		// in stores of its own, too.
		rebuilt := l.Rebuilt == want.Diff || strings.Contains(l.Rebuilt, "/through-a-link: no such file")
		if l.Parent != want.Parent || l.Diff != want.Diff || l.Compressed != want.Compressed || !rebuilt {
			t.Errorf("layer %+v\nwant %+v", l, want)
		}
	}
	t.Logf("%d images with %d names, %d layers", len(seen.Images), len(names), len(seen.Layers))
}
