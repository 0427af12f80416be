package slot

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/opencontainers/go-digest"
)

// damage changes the image of a slot, which must not be sealed.
func damage(t *testing.T, r *Root, n Name, change func(f *os.File, size int64) error) {
	t.Helper()
	if _, err := seal.FlagImage(r.Image(n), false); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(r.Image(n), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err == nil {
		err = change(f, info.Size())
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestImageDamaged holds that an image that readers could not open is not mounted:
// the slot is a valid empty store then, the other one is there, and a repair from
// the bundle brings the image back.
func TestImageDamaged(t *testing.T) {
	zeros := func(f *os.File, from, to int64) error {
		_, err := io.Copy(io.NewOffsetWriter(f, from), bytes.NewReader(make([]byte, to-from)))
		return err
	}
	for name, change := range map[string]func(f *os.File, size int64) error{
		"superblock": func(f *os.File, _ int64) error { return zeros(f, 0, 4096) },
		"truncated":  func(f *os.File, size int64) error { return f.Truncate(size / 2) },
		"inodes":     func(f *os.File, size int64) error { return zeros(f, 4096, size) },
		"no store":   func(f *os.File, _ int64) error { return f.Truncate(0) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoot(t)
			fillAs(t, r, 1, true)
			fillAs(t, r, 2, false)
			if err := r.Unmount(Names()...); err != nil {
				t.Fatal(err)
			}
			damage(t, r, A, change)
			err := r.Mount(t.Context(), Names()...)
			var damaged *ImageError
			if !errors.As(err, &damaged) || damaged.Slot != A || !errors.Is(err, store.ErrDamaged) {
				t.Errorf("Mount: %v", err)
			}
			if err := usable(r.Path(A)); err != nil {
				t.Errorf("what readers see of slot a: %v", err)
			}
			if ok, err := seal.Mounted(r.Path(A)); !ok || err != nil {
				t.Errorf("the empty store is mounted: %t, %v", ok, err)
			}
			hold(t, r, B, "release 4.99.2")
			if _, err := r.Fill(t.Context(), release(t, 3), FillOptions{}); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("Fill: %v", err)
			}
			if _, err := r.Repair(t.Context(), release(t, 1), A, FillOptions{}); err != nil {
				t.Errorf("Repair: %v", err)
			}
			hold(t, r, A, "release 4.99.1")
			noLeftOvers(t, r)
		})
	}
}

// TestImageRepair changes a content in an image that is mounted; the repaired one
// shows what it was, in the same place. A repair that is cut short goes on.
func TestImageRepair(t *testing.T) {
	for _, step := range []string{"", "seal", "swap", "unmount", "exchange", "exchanged", "discard"} {
		t.Run(step, func(t *testing.T) {
			r := newRoot(t)
			fillAs(t, r, 1, true)
			before := contentOf(t, r, A)
			damage(t, r, A, func(f *os.File, size int64) error {
				all := make([]byte, size)
				if _, err := f.ReadAt(all, 0); err != nil {
					return err
				}
				_, err := f.WriteAt([]byte("XXXX"), int64(bytes.Index(all, []byte(before))))
				return err
			})
			r.before = func(at string) error {
				if at == step {
					return errBoom
				}
				return nil
			}
			_, err := r.Repair(t.Context(), release(t, 1), A, FillOptions{})
			if step != "" && !errors.Is(err, errBoom) {
				t.Errorf("Repair: %v", err)
			}
			if err := usable(r.Path(A)); err != nil {
				t.Errorf("what readers see: %v", err)
			}
			r.before = nil
			if _, err := r.Repair(t.Context(), release(t, 1), A, FillOptions{}); err != nil {
				t.Errorf("Repair again: %v", err)
			}
			hold(t, r, A, "release 4.99.1")
			if got := contentOf(t, r, A); got != before {
				t.Errorf("the file holds %q, want %q", got, before)
			}
			if _, err := r.Clean(t.Context()); err != nil {
				t.Error(err)
			}
			noLeftOvers(t, r)
		})
	}
}

// contentOf reads the file etc/base of a slot.
func contentOf(t *testing.T, r *Root, n Name) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(r.Path(n), "overlay/*/diff/etc/base"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no file: %v", err)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestImageElsewhere fills a slot of a disk of another machine: nothing is mounted,
// what it holds is known all the same, and that machine mounts it at its start.
func TestImageElsewhere(t *testing.T) {
	here := newRoot(t)
	r := &Root{dir: here.dir}
	fillAs(t, r, 1, true)
	if s, err := r.Read(A); err != nil || s.Release() != "release 4.99.1" {
		t.Errorf("slot a: %+v, %v", s, err)
	}
	if ok, err := seal.ImageMounted(r.Path(A)); ok || err != nil {
		t.Errorf("mounted: %t, %v", ok, err)
	}
	if err := here.Mount(t.Context(), Names()...); err != nil {
		t.Fatal(err)
	}
	hold(t, here, A, "release 4.99.1")
}

// TestImageLost holds that an image file beside a full directory is not mounted over
// it, and that a mounted image whose file is gone is still a store.
func TestImageLost(t *testing.T) {
	r := newRoot(t)
	fillAs(t, r, 1, true)
	fillAs(t, r, 2, false)
	lines, err := os.ReadFile(r.Image(A) + image.DigestSuffix)
	if err != nil || !strings.HasSuffix(string(lines), "  a.erofs\n") {
		t.Errorf("the digest's file: %q, %v", lines, err)
	}
	if _, err := seal.FlagImage(r.Image(A), false); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(r.Image(A), r.Image(B)); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Read(A); err != nil || s.Release() != "release 4.99.1" || s.Image != "" {
		t.Errorf("slot a: %+v, %v", s, err)
	}
	if err := r.Mount(t.Context(), B); !errors.Is(err, store.ErrExists) {
		t.Errorf("Mount: %v", err)
	}
	if err := os.Remove(r.Image(B)); err != nil {
		t.Fatal(err)
	}
	hold(t, r, B, "release 4.99.2")
	if out, err := r.Retire(t.Context(), A, Node{EmptyNode: true}); err != nil || out.Images != 2 {
		t.Errorf("Retire: %+v, %v", out, err)
	}
	hold(t, r, A, "nothing")
	if _, err := os.Lstat(r.Image(A) + image.DigestSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the digest's file: %v", err)
	}
}

// TestInstall fills a slot with an image that was made elsewhere.
func TestInstall(t *testing.T) {
	r := newRoot(t)
	file := filepath.Join(t.TempDir(), "release.erofs")
	made, err := image.Import(t.Context(), release(t, 1), file, store.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Install(t.Context(), file, "sha256:"+digest.Digest(strings.Repeat("0", 64)), FillOptions{Now: clock(1)})
	if !errors.Is(err, store.ErrDamaged) {
		t.Errorf("another digest: %v", err)
	}
	hold(t, r, A, "nothing")
	noLeftOvers(t, r)
	out, err := r.Install(t.Context(), file, made.Digest, FillOptions{Now: clock(1)})
	if err != nil || out.Slot != A || out.Image == nil || out.Counts == nil || out.Counts.Images != 2 || out.Seal == nil {
		t.Fatalf("Install: %+v, %v", out, err)
	}
	hold(t, r, A, "release 4.99.1")
	if times, err := r.Times(&Slot{Name: A, ID: digest.FromBytes(release(t, 1).RawInventory())}); err != nil || !times.Filled.Equal(clock(1)) {
		t.Errorf("times: %+v, %v", times, err)
	}
	if out, err := r.Install(t.Context(), file, made.Digest, FillOptions{}); err != nil || !out.Already {
		t.Errorf("again: %+v, %v", out, err)
	}
	if out := fill(t, r, 1); !out.Already {
		t.Errorf("the bundle of it: %+v", out)
	}
	if err := os.WriteFile(file, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Install(t.Context(), file, digest.FromString("something else"), FillOptions{}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("no image: %v", err)
	}
	hold(t, r, B, "nothing")
	noLeftOvers(t, r)
}

// TestInstallChanged has an image made elsewhere with one file changed in it, and its
// digest to match: a layer shows it, unless a signature covers the image.
// TestInstallLost: the files of a layer that its tar-split does not give back prove nothing, so
// that only a bundle, or a signature of the image, does.
func TestInstallLost(t *testing.T) {
	r := newRoot(t)
	file := filepath.Join(t.TempDir(), "release.erofs")
	src := storetest.NewSource(t, bundle.Expanded)
	src.Add(storetest.Image{Repository: "quay.io/a/lost", Layers: [][]byte{storetest.Tar(t, storetest.File("a", "one"), storetest.File(".wh.b", "content"))}})
	if _, err := image.Import(t.Context(), src, file, store.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	d, err := image.ReadDigest(file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Install(t.Context(), file, d, FillOptions{Now: clock(1)})
	if !errors.Is(err, store.ErrPrecondition) || errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "cannot be proven") {
		t.Errorf("got %v", err)
	}
	hold(t, r, A, "nothing")
	noLeftOvers(t, r)
	if _, err := r.Install(t.Context(), file, d, FillOptions{Now: clock(1), Signed: true}); err != nil {
		t.Errorf("signed: %v", err)
	}
}

func TestInstallChanged(t *testing.T) {
	r := newRoot(t)
	file := filepath.Join(t.TempDir(), "release.erofs")
	if _, err := image.Import(t.Context(), release(t, 1), file, store.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	good := []byte("the same in all releases\n")
	if !bytes.Contains(data, good) {
		t.Fatal("the image does not hold the file as it is")
	}
	data = bytes.ReplaceAll(data, good, []byte("not same in all releases\n"))
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = r.Install(t.Context(), file, digest.FromBytes(data), FillOptions{Now: clock(1)})
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "etc/base: its content is damaged") {
		t.Errorf("got %v", err)
	}
	hold(t, r, A, "nothing")
	noLeftOvers(t, r)
	if _, err := r.Install(t.Context(), file, digest.FromBytes(data), FillOptions{Now: clock(1), Signed: true}); err != nil {
		t.Errorf("signed: %v", err)
	}
}
