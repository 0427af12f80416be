package dir_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/opencontainers/go-digest"
	tsplit "github.com/vbatts/tar-split/tar/storage"
	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/directory"
	"go.podman.io/image/v5/signature"
	imagestorage "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"
	"golang.org/x/sys/unix"
)

// openLibrary opens a primary store of the library.
func openLibrary(t testing.TB, root string, options ...string) storage.Store {
	t.Helper()
	lib, err := storage.GetStore(storage.StoreOptions{
		RunRoot: filepath.Join(t.TempDir(), "run"), GraphRoot: root, GraphDriverName: "overlay",
		GraphDriverOptions: append([]string{"overlay.skip_mount_home=true"}, options...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := lib.Shutdown(true); err != nil {
			t.Error(err)
		}
		lib.Free()
	})
	return lib
}

// copyWithLibrary imports all images of src as skopeo does.
func copyWithLibrary(t testing.TB, src *storetest.Source, lib storage.Store) {
	t.Helper()
	policy, err := signature.NewPolicyContext(&signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}})
	if err != nil {
		t.Fatal(err)
	}
	inv := src.Inventory()
	// What other copies on this machine have learned of these layers would change
	// which digests the library records.
	cache := t.TempDir()
	for i := range inv.Images {
		img := &inv.Images[i]
		folder := t.TempDir()
		src.WriteDir(img, folder)
		from, err := directory.NewReference(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range append([]string{img.Ref}, img.Names...) {
			to, err := imagestorage.Transport.ParseStoreReference(lib, name)
			if err != nil {
				t.Fatal(err)
			}
			_, err = copy.Image(t.Context(), policy, to, from, &copy.Options{
				SourceCtx:                             &types.SystemContext{ArchitectureChoice: "amd64", OSChoice: "linux"},
				DestinationCtx:                        &types.SystemContext{ArchitectureChoice: "amd64", OSChoice: "linux", BlobInfoCacheDir: cache},
				PreserveDigests:                       true,
				MaxParallelDownloads:                  1,
				OptimizeDestinationImageAlreadyExists: false,
			})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

func TestAsTheLibrary(t *testing.T) {
	testenv.NeedRoot(t)
	for _, form := range []bundle.LayerForm{bundle.Expanded, bundle.Original} {
		t.Run(string(form), func(t *testing.T) {
			src := storetest.NewSource(t, form)
			storetest.Images(t, src)
			compareWithLibrary(t, src)
			checkWithLibrary(t, importInto(t, src))
		})
	}
}

func TestStrangeAsTheLibrary(t *testing.T) {
	testenv.NeedRoot(t)
	src := storetest.NewSource(t, bundle.Expanded)
	src.Add(storetest.Image{Repository: "quay.io/a/strange", Layers: storetest.Strange(t), Created: "2024-02-03T04:05:06Z"})
	compareWithLibrary(t, src)
}

// importInto imports src into a new directory.
func importInto(t testing.TB, src *storetest.Source) string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "store")
	if _, err := dir.Import(t.Context(), src, target, store.ImportOptions{Jobs: 4}); err != nil {
		t.Fatal(err)
	}
	return target
}

func compareWithLibrary(t *testing.T, src *storetest.Source) {
	t.Helper()
	ours := importInto(t, src)
	theirs := filepath.Join(t.TempDir(), "root")
	copyWithLibrary(t, src, openLibrary(t, theirs))
	compareRecords(t, theirs, ours)
	compareContents(t, theirs, ours)
}

// compareRecords compares the JSON of two stores but for times and order.
func compareRecords(t *testing.T, theirs, ours string) {
	t.Helper()
	want, got := openStore(t, theirs), openStore(t, ours)
	normalLayers := func(list []storage.Layer) []string {
		var out []string
		for _, l := range list {
			l.Created = time.Time{}
			out = append(out, asJSON(t, l))
		}
		return out
	}
	normalImages := func(list []storage.Image) []string {
		var out []string
		for _, i := range list {
			slices.Sort(i.Names)
			slices.Sort(i.NamesHistory)
			out = append(out, asJSON(t, i))
		}
		return out
	}
	if d := storetest.Diff(normalLayers(want.Layers), normalLayers(got.Layers)); d != "" {
		t.Errorf("layers differ:\n%s", d)
	}
	if d := storetest.Diff(normalImages(want.Images), normalImages(got.Images)); d != "" {
		t.Errorf("images differ:\n%s", d)
	}
}

func openStore(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.Open(os.DirFS(path))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// compareContents compares trees, tar-splits, big data and lower layers.
func compareContents(t *testing.T, theirs, ours string) {
	t.Helper()
	for _, l := range openStore(t, ours).Layers {
		want := storetest.DescribeTree(t, filepath.Join(theirs, store.DiffDir(l.ID)), storetest.TreeOptions{NoTime: clockTimes(t, l.UncompressedDigest)})
		got := storetest.DescribeTree(t, filepath.Join(ours, store.DiffDir(l.ID)), storetest.TreeOptions{NoTime: clockTimes(t, l.UncompressedDigest)})
		// Contents that layers share are hard links here, which adds to counts.
		if d := storetest.Diff(withoutCounts(want), withoutCounts(got)); d != "" {
			t.Errorf("layer %s differs:\n%s", l.ID, d)
		}
		if w, g := tarSplit(t, theirs, l.ID), tarSplit(t, ours, l.ID); w != g {
			t.Errorf("layer %s: tar-splits differ", l.ID)
		}
		for _, name := range []string{"lower-layers"} {
			w, werr := os.ReadFile(filepath.Join(theirs, "overlay", l.ID, name))
			g, gerr := os.ReadFile(filepath.Join(ours, "overlay", l.ID, name))
			if string(w) != string(g) || (werr == nil) != (gerr == nil) {
				t.Errorf("layer %s: %s is %q, want %q", l.ID, name, g, w)
			}
		}
	}
	for _, img := range openStore(t, ours).Images {
		want := storetest.DescribeTree(t, filepath.Join(theirs, store.ImagesDir, img.ID), storetest.TreeOptions{NoTime: always})
		got := storetest.DescribeTree(t, filepath.Join(ours, store.ImagesDir, img.ID), storetest.TreeOptions{NoTime: always})
		if d := storetest.Diff(want, got); d != "" {
			t.Errorf("image %s differs:\n%s", img.ID, d)
		}
	}
}

func always(string, *unix.Stat_t) bool { return true }

// clockTimes reports what has the time of the clock in the library's tree:
// whiteouts, and directories that the tar does not list.
func clockTimes(t *testing.T, diffID digest.Digest) func(string, *unix.Stat_t) bool {
	listed := make(map[string]bool)
	for _, plain := range append(storetest.Everything(t), storetest.Strange(t)...) {
		if digest.FromBytes(plain) != diffID {
			continue
		}
		for r := tar.NewReader(bytes.NewReader(plain)); ; {
			h, err := r.Next()
			if err != nil {
				break
			}
			if h.Typeflag == tar.TypeDir && h.Name != "./" {
				listed[strings.Trim(filepath.Clean(h.Name), "/")] = true
			}
		}
	}
	if listed[""] {
		listed["."] = true
	}
	return func(path string, st *unix.Stat_t) bool {
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFCHR:
			return st.Rdev == 0
		case unix.S_IFDIR:
			return !listed[path]
		}
		return false
	}
}

func withoutCounts(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		before, after, ok := strings.Cut(l, " links=")
		if ok {
			_, rest, _ := strings.Cut(after, " first=")
			name, xattrs, _ := strings.Cut(rest[1:], `"`)
			own, _, _ := strings.Cut(l[1:], `"`)
			if name != own {
				before += " same as " + name
			}
			l = before + xattrs
		}
		out[i] = l
	}
	return out
}

// tarSplit returns a tar-split as one string, whatever the sizes of its segments.
func tarSplit(t *testing.T, root, layerID string) string {
	t.Helper()
	f, err := os.Open(filepath.Join(root, store.TarSplitFile(layerID)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for u := tsplit.NewJSONUnpacker(zr); ; {
		e, err := u.Next()
		if err != nil {
			return b.String()
		}
		if e.Type == tsplit.SegmentType {
			b.Write(e.Payload)
		} else {
			fmt.Fprintf(&b, "[%s %d %x]", e.GetName(), e.Size, e.Payload)
		}
	}
}
