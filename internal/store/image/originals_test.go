package image_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// osRelease is a release with an image whose bytes are kept, of which one layer is the same
// in every version. Its length is n bytes more than whole blocks.
func osRelease(t testing.TB, form bundle.LayerForm, version string) (*storetest.Source, *bundle.Image) {
	t.Helper()
	random := make([]byte, 300_000)
	for i, x := 0, uint32(1); i < len(random); i++ {
		x = x*1664525 + 1013904223
		random[i] = byte(x >> 24)
	}
	sharedLayer := storetest.Tar(t, storetest.Dir("usr/"), storetest.File("usr/kernel", string(random)))
	own := storetest.Tar(t, storetest.File("etc/version", version))
	src := storetest.NewSource(t, form)
	img := *src.Add(storetest.Image{
		Repository: "example.com/os", Layers: [][]byte{sharedLayer, own}, Compression: "gzip", Original: true,
	})
	src.Add(storetest.Image{Repository: "example.com/app", Layers: [][]byte{
		storetest.Tar(t, storetest.File("bin/app", strings.Repeat("app", 5000))),
	}, Compression: "zstd"})
	return src, &img
}

// TestOriginals writes images that keep layers as the registry has them, from a bundle and
// from every kind of donor: all are the same to the byte.
func TestOriginals(t *testing.T) {
	needEROFS(t)
	for _, fs := range []string{"xfs", "ext4"} {
		t.Run(fs, func(t *testing.T) {
			at := testenv.NeedFS(t, fs)
			src, img := osRelease(t, bundle.Expanded, "2")
			want := importImage(t, src, filepath.Join(at, "want.erofs"), 2)
			fsck(t, want.Path)
			point := mount(t, want.Path)
			for _, l := range img.Layers {
				got, err := os.ReadFile(filepath.Join(point, filepath.FromSlash(store.OriginalPath(l.Digest))))
				if err != nil || !bytes.Equal(got, src.Registry(l.Digest)) {
					t.Errorf("layer %s: %d bytes, %v", l.Digest, len(got), err)
				}
			}
			old, _ := osRelease(t, bundle.Expanded, "1")
			importImage(t, old, filepath.Join(at, "old.erofs"), 2)
			if _, err := dir.Import(t.Context(), old, filepath.Join(at, "dir"), store.ImportOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, donor := range []string{"old.erofs", "dir"} {
				got, err := image.Import(t.Context(), src, filepath.Join(at, "from-"+donor), store.ImportOptions{
					Reuse: []string{filepath.Join(at, donor)},
				})
				if err != nil {
					t.Fatal(err)
				}
				if got.Digest != want.Digest {
					t.Errorf("taken from %s it is another image", donor)
				}
				if least := img.Layers[0].Size &^ 4095; donor == "old.erofs" && got.Reused < least {
					t.Errorf("%d bytes were taken from the image, want the layer's %d", got.Reused, least)
				}
			}
			rep, err := image.Verify(t.Context(), want.Path, image.VerifyOptions{})
			if err != nil || len(rep.Findings) > 0 || rep.Originals != len(img.Layers) {
				t.Errorf("verifying: %+v, %v", rep, err)
			}
		})
	}
}

// TestOriginalsDamaged refuses a bundle whose layer is not the registry's.
func TestOriginalsDamaged(t *testing.T) {
	needEROFS(t)
	at := testenv.NeedFS(t, "ext4")
	src, img := osRelease(t, bundle.Expanded, "1")
	src.Corrupt(img.Layers[0].Digest, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	_, err := image.Import(t.Context(), src, filepath.Join(at, "bad.erofs"), store.ImportOptions{})
	var place *store.Error
	if !errors.Is(err, store.ErrDamaged) || !errors.As(err, &place) || place.Digest != img.Layers[0].Digest {
		t.Errorf("importing: %v", err)
	}
	// What a directory's donor has damaged comes from the bundle.
	old, _ := osRelease(t, bundle.Expanded, "1")
	donor := filepath.Join(at, "dir")
	if _, err := dir.Import(t.Context(), old, donor, store.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(donor, filepath.FromSlash(store.OriginalPath(img.Layers[0].Digest)))
	if err := os.WriteFile(path, make([]byte, img.Layers[0].Size), store.OriginalMode); err != nil {
		t.Fatal(err)
	}
	src, _ = osRelease(t, bundle.Expanded, "2")
	want := importImage(t, src, filepath.Join(at, "want.erofs"), 2)
	got, err := image.Import(t.Context(), src, filepath.Join(at, "got.erofs"), store.ImportOptions{Reuse: []string{donor}})
	if err != nil || got.Digest != want.Digest {
		t.Errorf("%+v, %v, want the image %s", got, err, want.Digest)
	}
}
