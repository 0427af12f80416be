//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// testImport holds that a store has every image under its reference.
func (f *flow) testImport(t *testing.T) {
	store := f.importStore(t, "--no-seal")
	images := harness.Images(t, store)
	for _, img := range f.inventory.Images {
		record, ok := images[img.Config.Digest.Encoded()]
		if !ok || !slices.Contains(record.Names, img.Ref) {
			t.Errorf("%s: record %+v", img.Ref, record)
		}
	}
}

// testTwoNodes holds that nothing in a store comes from a clock or from chance.
func (f *flow) testTwoNodes(t *testing.T) {
	a := harness.ReadTree(t, f.importStore(t, "--no-seal"))
	b := harness.ReadTree(t, f.importStore(t, "--no-seal"))
	for _, line := range harness.Diff(a, b, nil) {
		t.Error(line)
	}
}

// testSameAsSkopeo holds that the store is the one that skopeo, through the
// storage library, makes of the same images.
func (f *flow) testSameAsSkopeo(t *testing.T) {
	began := time.Now()
	store := f.importStore(t, "--no-seal")
	reference := harness.GraphRoot(t)
	destination := fmt.Sprintf("containers-storage:[overlay@%s+%s]", reference, t.TempDir())
	for _, ref := range f.refs {
		args := []string{"--insecure-policy", "--registries-conf", f.conf}
		harness.Must(t, "skopeo", append(args, "copy", "docker://"+ref, destination+ref)...)
	}
	compareLayers(t, store, reference, began)
	f.compareImages(t, store, reference)
}

// compareLayers compares the records of all layers and their files.
func compareLayers(t *testing.T, store, reference string, began time.Time) {
	t.Helper()
	got, want := harness.Layers(t, store), harness.Layers(t, reference)
	dropDoubles(t, store, got)
	if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
		t.Fatalf("layers %v\nwant   %v", g, w)
	}
	// A directory that a layer only implies, and a whiteout, get the time of their
	// making from the library; a store of ours has no clock.
	same := func(ours, theirs harness.Node) bool {
		directory := theirs.Mode&unix.S_IFMT == unix.S_IFDIR
		whiteout := theirs.Mode&unix.S_IFMT == unix.S_IFCHR && theirs.Device == 0
		if theirs.MTime.After(began) && (directory || whiteout) {
			ours.MTime = theirs.MTime
		}
		return ours == theirs
	}
	parents := make(map[string]int) // of each diff
	for _, l := range want {
		parents[l.Diff]++
	}
	for id, l := range got {
		w := want[id]
		if parents[w.Diff] > 1 && w.Compression == 0 {
			// The library took the plain layer that it had under another parent.
			w.Compression, w.CompressedSize = l.Compression, l.CompressedSize
		}
		if fmt.Sprint(l) != fmt.Sprint(w) {
			t.Errorf("layer %s:\n\t%+v\nwant\t%+v", id, l, w)
		}
		diff := filepath.Join("overlay", id, "diff")
		for _, line := range harness.Diff(harness.ReadTree(t, filepath.Join(store, diff)), harness.ReadTree(t, filepath.Join(reference, diff)), same) {
			t.Errorf("layer %s: %s", id, line)
		}
	}
}

// dropDoubles takes from layers those that no image has: they are there for
// further compressed digests of a content, where the library records the first
// only. Each must have the content of a layer that an image has.
func dropDoubles(t *testing.T, store string, layers map[string]harness.Layer) {
	t.Helper()
	tree := func(id string) harness.Tree { return harness.ReadTree(t, filepath.Join(store, "overlay", id, "diff")) }
	used := make(map[string]bool)
	for _, img := range harness.Images(t, store) {
		for id := img.Layer; id != ""; id = layers[id].Parent {
			used[id] = true
		}
	}
	doubles := 0
	for id, l := range layers {
		if used[id] {
			continue
		}
		delete(layers, id)
		found := false
		for other, o := range layers {
			if used[other] && o.Diff == l.Diff && o.Parent == l.Parent && o.Compressed != l.Compressed {
				found = true
				for _, line := range harness.Diff(tree(id), tree(other), nil) {
					t.Errorf("layer %s, the double of %s: %s", id, other, line)
				}
			}
		}
		if !found {
			t.Errorf("layer %s is of no image, and not the double of one that is", id)
		}
		doubles++
	}
	t.Logf("%d layers are there for a further compressed digest", doubles)
}

// compareImages compares the records of all images and their big data.
func (f *flow) compareImages(t *testing.T, store, reference string) {
	t.Helper()
	got, want := harness.Images(t, store), harness.Images(t, reference)
	if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
		t.Fatalf("images %v\nwant   %v", g, w)
	}
	for id, img := range got {
		w := f.expected(t, img, withoutEmpty(want[id]))
		for _, list := range [][]string{img.Names, w.Names, img.BigData, w.BigData} {
			slices.Sort(list)
		}
		if fmt.Sprint(img) != fmt.Sprint(w) {
			t.Errorf("image %s:\n\t%+v\nwant\t%+v", id, img, w)
		}
		files := filepath.Join("overlay-images", id)
		ours, theirs := harness.ReadTree(t, filepath.Join(store, files)), harness.ReadTree(t, filepath.Join(reference, files))
		maps.DeleteFunc(theirs, func(_ string, n harness.Node) bool { return n.Content == digest.FromString("").Encoded() })
		content := func(a, b harness.Node) bool {
			return a.Content == b.Content || a.LinkedTo == "manifest" // follows from the record
		}
		for _, line := range harness.Diff(ours, theirs, content) {
			t.Errorf("image %s: %s", id, line)
		}
	}
}

// expected is the library's record of an image without what it leaves to the
// order of its work: where a record has several manifests, any of them may be
// the one without a digest in its key, and the record's own. To the names come
// those of the inventory.
func (f *flow) expected(t *testing.T, img, w harness.Image) harness.Image {
	t.Helper()
	for _, in := range f.inventory.Images {
		if in.Config.Digest.Encoded() == img.ID {
			w.Names = append(append(w.Names, in.Ref), in.Names...)
		}
	}
	slices.Sort(w.Names)
	w.Names = slices.Compact(w.Names)
	for _, own := range []string{img.Digest, img.BigDataDigests["manifest"]} {
		if w.BigDataDigests["manifest-"+own] != own {
			t.Errorf("image %s: digest %q is not that of a manifest of it", img.ID, own)
		}
	}
	w.Digest = img.Digest
	w.BigDataDigests["manifest"] = img.BigDataDigests["manifest"]
	w.BigDataSizes["manifest"] = w.BigDataSizes["manifest-"+img.BigDataDigests["manifest"]]
	return w
}

// withoutEmpty takes out the empty signatures that the library of Debian's skopeo
// writes for an image without signatures, and later ones do not.
func withoutEmpty(img harness.Image) harness.Image {
	img.BigData = slices.DeleteFunc(img.BigData, func(key string) bool { return img.BigDataSizes[key] == 0 })
	maps.DeleteFunc(img.BigDataDigests, func(key, _ string) bool { return img.BigDataSizes[key] == 0 })
	maps.DeleteFunc(img.BigDataSizes, func(_ string, size int64) bool { return size == 0 })
	return img
}

// testSeal holds that root cannot remove a sealed store by accident, and that
// sealing twice is sealing once.
func (f *flow) testSeal(t *testing.T) {
	store := f.importStore(t)
	before := harness.ReadTree(t, store)
	if out := harness.Run(t, "rm", "-rf", store); out.Code == 0 {
		t.Error("rm -rf of a sealed store reports success")
	}
	for _, line := range harness.Diff(before, harness.ReadTree(t, store), nil) {
		t.Errorf("after rm -rf: %s", line)
	}
	harness.MustNodeseal(t, "seal", store)
	harness.MustNodeseal(t, "unseal", store)
	if flags := string(harness.Must(t, "lsattr", "-R", "-a", store)); strings.Contains(flags, "i--") {
		t.Errorf("immutable flags after unseal:\n%s", flags)
	}
	harness.Must(t, "rm", "-rf", store)
}
