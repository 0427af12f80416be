package dir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/store/verify"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/directory"
	"go.podman.io/image/v5/signature"
	imagestorage "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/archive"
	"golang.org/x/sys/unix"
)

// recompressed adds images with the same two contents under several compressed
// digests: with one configuration (gzip and zstd), with another, and plain.
func recompressed(t testing.TB, form bundle.LayerForm) *storetest.Source {
	src := storetest.NewSource(t, form)
	layers := storetest.Everything(t)[:2]
	for _, img := range []storetest.Image{
		{Repository: "quay.io/a/gzip", Compression: "gzip"},
		{Repository: "quay.io/a/zstd", Compression: "zstd"},
		{Repository: "quay.io/a/other", Compression: "zstd", Labels: map[string]string{"other": "yes"}},
		{Repository: "quay.io/a/plain", Labels: map[string]string{"plain": "yes"}},
	} {
		img.Layers = layers
		src.Add(img)
	}
	return src
}

// TestEachCompressedDigest looks each content up by every compressed digest that
// a manifest gives it, and pulls each image where the registry gives no layer.
func TestEachCompressedDigest(t *testing.T) {
	testenv.NeedRoot(t)
	for _, form := range []bundle.LayerForm{bundle.Expanded, bundle.Original} {
		t.Run(string(form), func(t *testing.T) {
			src := recompressed(t, form)
			target := importInto(t, src)
			lib := openAdditional(t, target)
			inv := src.Inventory()
			for i := range inv.Images {
				for _, l := range inv.Images[i].Layers {
					findCompressed(t, lib, l)
				}
				pullWithoutLayers(t, src, &inv.Images[i], lib)
			}
			extra := outsideImages(t, target)
			if len(extra) != 2 {
				t.Errorf("%d layers are of no image, want one for the zstd form of each of two", len(extra))
			}
			shareFiles(t, target, extra)
			report, err := verify.Store(t.Context(), target, verify.Options{})
			if err != nil || len(report.Findings) > 0 {
				t.Errorf("verify: %v, %+v", err, report)
			}
			checkAsAdditional(t, lib)
			checkWithLibrary(t, target, extra...)
		})
	}
}

// openAdditional opens an empty primary store of the library with target as an
// additional one.
func openAdditional(t *testing.T, target string) storage.Store {
	t.Helper()
	return openLibrary(t, filepath.Join(t.TempDir(), "graph"), "overlay.imagestore="+target)
}

// findCompressed finds l as a pull does, and reads its tar.
func findCompressed(t *testing.T, lib storage.Store, l bundle.Layer) {
	t.Helper()
	found, err := lib.LayersByCompressedDigest(l.Digest)
	if l.Digest == l.DiffID {
		found, err = lib.LayersByUncompressedDigest(l.Digest)
	}
	if err != nil {
		t.Errorf("%s: %v", l.Digest, err)
		return
	}
	for _, record := range found {
		if record.UncompressedDigest != l.DiffID {
			t.Errorf("%s: found %s, want %s", l.Digest, record.UncompressedDigest, l.DiffID)
		}
		if l.Digest != l.DiffID && record.CompressedSize != l.Size {
			t.Errorf("%s: %d bytes, want %d", l.Digest, record.CompressedSize, l.Size)
		}
		plain := archive.Uncompressed
		tar, err := lib.Diff("", record.ID, &storage.DiffOptions{Compression: &plain})
		if err != nil {
			t.Fatal(err)
		}
		sum, err := digest.FromReader(tar)
		if err := errors.Join(err, tar.Close()); err != nil || sum != l.DiffID {
			t.Errorf("%s: layer %s gives a tar with the digest %s, %v", l.Digest, record.ID, sum, err)
		}
	}
}

// pullWithoutLayers copies img to lib from where its layers are not.
func pullWithoutLayers(t *testing.T, src *storetest.Source, img *bundle.Image, lib storage.Store) {
	t.Helper()
	folder := t.TempDir()
	src.WriteDir(img, folder)
	for _, l := range img.Layers {
		if err := os.Remove(filepath.Join(folder, l.Digest.Encoded())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	from, err := directory.NewReference(folder)
	if err != nil {
		t.Fatal(err)
	}
	to, err := imagestorage.Transport.ParseStoreReference(lib, img.Ref)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := signature.NewPolicyContext(&signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := copy.Image(t.Context(), policy, to, from, &copy.Options{
		PreserveDigests: true,
		DestinationCtx:  &types.SystemContext{BlobInfoCacheDir: t.TempDir()},
	}); err != nil {
		t.Errorf("pulling %s: %v", img.Ref, err)
	}
}

// outsideImages returns the layers that are in no image's chain.
func outsideImages(t *testing.T, target string) []storage.Layer {
	t.Helper()
	s := openStore(t, target)
	parents, used := make(map[string]string), make(map[string]bool)
	for _, l := range s.Layers {
		parents[l.ID] = l.Parent
	}
	for _, img := range s.Images {
		for id := img.TopLayer; id != ""; id = parents[id] {
			used[id] = true
		}
	}
	var out []storage.Layer
	for _, l := range s.Layers {
		if used[l.ID] {
			continue
		}
		out = append(out, l)
		if l.ID == store.LayerID(l.Parent, l.UncompressedDigest) {
			t.Errorf("layer %s, which is of no image, has the ID of an image's", l.ID)
		}
	}
	return out
}

// shareFiles holds that the contents of extra are hard links.
func shareFiles(t *testing.T, target string, extra []storage.Layer) {
	t.Helper()
	for _, l := range extra {
		var files, shared int
		err := filepath.WalkDir(filepath.Join(target, store.DiffDir(l.ID)), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			var st unix.Stat_t
			if err := unix.Lstat(path, &st); err != nil {
				return err
			}
			files++
			if st.Nlink > 1 {
				shared++
			}
			return nil
		})
		if err != nil || files == 0 || shared != files {
			t.Errorf("layer %s shares %d of %d files, %v", l.ID, shared, files, err)
		}
	}
}
