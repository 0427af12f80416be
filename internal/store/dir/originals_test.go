package dir_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/store/verify"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// osSource is a release with an image whose bytes are kept, of which one layer is the same
// in every version, and another image that shares it.
func osSource(t testing.TB, form bundle.LayerForm, version string) (*storetest.Source, *bundle.Image) {
	t.Helper()
	shared := storetest.Tar(t, storetest.Dir("usr/"), storetest.File("usr/kernel", strings.Repeat("kernel", 50_000)))
	own := storetest.Tar(t, storetest.File("etc/version", version))
	src := storetest.NewSource(t, form)
	img := *src.Add(storetest.Image{
		Repository: "example.com/os", Layers: [][]byte{shared, own}, Compression: "gzip", Original: true,
	})
	src.Add(storetest.Image{Repository: "example.com/app", Layers: [][]byte{
		storetest.Tar(t, storetest.File("bin/app", "app")),
	}, Compression: "zstd"})
	return src, &img
}

func originalFile(dir string, l bundle.Layer) string {
	return filepath.Join(dir, filepath.FromSlash(store.OriginalPath(l.Digest)))
}

// TestOriginals imports an image whose bytes are kept: the store has the layers unpacked,
// and as the registry has them.
func TestOriginals(t *testing.T) {
	for _, form := range []bundle.LayerForm{bundle.Expanded, bundle.Original} {
		t.Run(string(form), func(t *testing.T) {
			src, img := osSource(t, form, "1")
			target := filepath.Join(testenv.NeedFS(t, "ext4"), "store")
			importTo(t, src, target, store.ImportOptions{})
			for _, l := range img.Layers {
				got, err := os.ReadFile(originalFile(target, l))
				if err != nil || !bytes.Equal(got, src.Registry(l.Digest)) {
					t.Errorf("layer %s: %d bytes, %v", l.Digest, len(got), err)
				}
			}
			entries, err := os.ReadDir(filepath.Join(target, filepath.FromSlash(store.OriginalsDir)))
			if err != nil || len(entries) != len(img.Layers) {
				t.Errorf("%d files, %v, want the %d layers of one image", len(entries), err, len(img.Layers))
			}
			if there, err := dir.Present(t.Context(), src, target); !there || err != nil {
				t.Errorf("present: %v, %v", there, err)
			}
			if err := os.Truncate(originalFile(target, img.Layers[0]), 1); err != nil {
				t.Fatal(err)
			}
			if there, err := dir.Present(t.Context(), src, target); there || err != nil {
				t.Errorf("with a layer that was cut short it is present: %v, %v", there, err)
			}
		})
	}
}

// TestOriginalsDamaged refuses a bundle whose layer is not the registry's, and says so of a
// store.
func TestOriginalsDamaged(t *testing.T) {
	at := testenv.NeedFS(t, "ext4")
	src, img := osSource(t, bundle.Expanded, "1")
	src.Corrupt(img.Layers[0].Digest, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	_, err := dir.Import(t.Context(), src, filepath.Join(at, "bad"), store.ImportOptions{})
	var place *store.Error
	if !errors.Is(err, store.ErrDamaged) || !errors.As(err, &place) || place.Digest != img.Layers[0].Digest {
		t.Errorf("importing: %v", err)
	}

	src, img = osSource(t, bundle.Expanded, "1")
	target := filepath.Join(at, "store")
	importTo(t, src, target, store.ImportOptions{})
	path := originalFile(target, img.Layers[0])
	for name, change := range map[string]func() error{
		"a changed byte": func() error {
			data, err := os.ReadFile(path)
			if err == nil {
				data[len(data)/2] ^= 1
				err = os.WriteFile(path, data, store.OriginalMode)
			}
			return err
		},
		"cut short": func() error { return os.Truncate(path, 1) },
		"its mode":  func() error { return os.Chmod(path, 0o600) },
		"a link":    func() error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) },
		"gone":      func() error { return os.Remove(path) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.RemoveAll(target); err != nil {
				t.Fatal(err)
			}
			importTo(t, src, target, store.ImportOptions{})
			if err := change(); err != nil {
				t.Fatal(err)
			}
			rep, err := verify.Store(t.Context(), target, verify.Options{})
			if err != nil || len(rep.Findings) != 1 || rep.Findings[0].Path != store.OriginalPath(img.Layers[0].Digest) {
				t.Fatalf("%+v, %v", rep, err)
			}
			if len(rep.Hurt) != 1 || rep.Hurt[0] != img.Ref || rep.Originals != 1 {
				t.Errorf("hurt %v, %d whole, want %s and the other layer", rep.Hurt, rep.Originals, img.Ref)
			}
		})
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "foreign"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	rep, err := verify.Store(t.Context(), target, verify.Options{})
	if err != nil || len(rep.Findings) != 2 {
		t.Errorf("a foreign file and a missing layer: %+v, %v", rep, err)
	}
}

// TestTakeOriginals shares what did not change with the sealed store of the release before,
// by hard links on the same file system, and takes what is damaged there from the bundle.
func TestTakeOriginals(t *testing.T) {
	for _, fs := range []string{"ext4", "xfs"} {
		t.Run(fs, func(t *testing.T) {
			root := testenv.NeedFS(t, fs)
			oldSource, img := osSource(t, bundle.Expanded, "1")
			old := filepath.Join(root, "a")
			importTo(t, oldSource, old, store.ImportOptions{})
			if _, err := seal.Seal(t.Context(), old, seal.Options{}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = seal.Unmount(old) })
			src, _ := osSource(t, bundle.Expanded, "2")
			linked, copied := filepath.Join(root, "b"), filepath.Join(t.TempDir(), "copied")
			importTo(t, src, linked, store.ImportOptions{Reuse: []string{old}})
			importTo(t, src, copied, store.ImportOptions{Reuse: []string{old}})
			if !same(t, originalFile(old, img.Layers[0]), originalFile(linked, img.Layers[0])) {
				t.Error("the layer was not linked")
			}
			if same(t, originalFile(old, img.Layers[0]), originalFile(copied, img.Layers[0])) {
				t.Error("a link to another file system")
			}
		})
	}
	t.Run("damaged", func(t *testing.T) {
		root := testenv.NeedFS(t, "ext4")
		oldSource, img := osSource(t, bundle.Expanded, "1")
		old := filepath.Join(root, "a")
		importTo(t, oldSource, old, store.ImportOptions{})
		data := bytes.Repeat([]byte("x"), int(img.Layers[0].Size))
		if err := os.WriteFile(originalFile(old, img.Layers[0]), data, store.OriginalMode); err != nil {
			t.Fatal(err)
		}
		src, _ := osSource(t, bundle.Expanded, "2")
		var mu sync.Mutex // warnings come from several goroutines
		var warnings []string
		importTo(t, src, filepath.Join(root, "b"), store.ImportOptions{
			Reuse: []string{old},
			Progress: func(e progress.Event) {
				if e.Kind == progress.Warning {
					mu.Lock()
					defer mu.Unlock()
					warnings = append(warnings, e.Message)
				}
			},
		})
		if len(warnings) != 1 || !strings.Contains(warnings[0], img.Layers[0].Digest.String()) {
			t.Errorf("warnings: %q", warnings)
		}
	})
}

// TestSealOriginals seals a store and unseals it: the folder of the layers is immutable, so
// that no file of it goes, and the files are not, so that the next store can have links.
func TestSealOriginals(t *testing.T) {
	src, img := osSource(t, bundle.Expanded, "1")
	target := filepath.Join(testenv.NeedFS(t, "ext4"), "store")
	importTo(t, src, target, store.ImportOptions{})
	if _, err := seal.Seal(t.Context(), target, seal.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := seal.Unmount(target); err != nil {
		t.Fatal(err)
	}
	path := originalFile(target, img.Layers[0])
	if err := os.Remove(path); err == nil {
		t.Error("a layer of a sealed store could be removed")
	}
	if err := os.Link(path, target+"-link"); err != nil {
		t.Errorf("a layer of a sealed store cannot be linked: %v", err)
	}
	if _, err := seal.Unseal(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(target); err != nil {
		t.Errorf("an unsealed store cannot be removed: %v", err)
	}
}
