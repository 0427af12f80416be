package slot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// newRoot is a root on a file system that can seal.
func newRoot(t *testing.T) *Root {
	t.Helper()
	r, err := Open(filepath.Join(testenv.NeedFS(t, "ext4"), "nodeseal"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Unmount(Names()...); err != nil {
			t.Error(err)
		}
	})
	return r
}

// release is a source with two images: one that all releases share, one of its own.
func release(t *testing.T, n int) *storetest.Source {
	t.Helper()
	src := storetest.NewSource(t, bundle.Expanded)
	base := storetest.Tar(t, storetest.Dir("etc/"), storetest.File("etc/base", "the same in all releases\n"))
	own := storetest.Tar(t, storetest.File("etc/version", fmt.Sprintf("release %d\n", n)))
	src.Add(storetest.Image{Repository: "example.com/base", Layers: [][]byte{base}})
	src.Add(storetest.Image{Repository: "example.com/app", Layers: [][]byte{base, own}})
	src.Edit(func(inv *bundle.Inventory) { inv.Release = &bundle.Release{Version: fmt.Sprintf("4.99.%d", n)} })
	return src
}

// clock is an instant per release.
func clock(n int) time.Time { return time.Date(2030, 1, n, 0, 0, 0, 0, time.UTC) }

func fill(t *testing.T, r *Root, n int) *Filled {
	t.Helper()
	return fillAs(t, r, n, false)
}

func fillAs(t *testing.T, r *Root, n int, asImage bool) *Filled {
	t.Helper()
	out, err := r.Fill(t.Context(), release(t, n), FillOptions{Image: asImage, Now: clock(n)})
	if err != nil {
		t.Fatalf("filling with release %d: %v", n, err)
	}
	return out
}

// hold wants a slot to be valid and to hold a release, sealed; "nothing" is empty.
func hold(t *testing.T, r *Root, n Name, want string) {
	t.Helper()
	s, err := r.Read(n)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Release(); got != want {
		t.Errorf("slot %s holds %s, want %s", n, got, want)
	}
	if s.Image != "" {
		holdImage(t, s)
		return
	}
	rep, err := seal.State(t.Context(), r.Path(n))
	if err != nil || !rep.Sealed() {
		t.Errorf("slot %s is not sealed: %+v, %v", n, rep, err)
	}
}

// holdImage wants the image of a slot to be sealed, mounted, and what its digest says.
func holdImage(t *testing.T, s *Slot) {
	t.Helper()
	if rep, err := seal.ImageState(s.Image, s.Path); err != nil || !rep.Sealed() {
		t.Errorf("slot %s is not sealed: %+v, %v", s.Name, rep, err)
	}
	want, err := image.ReadDigest(s.Image)
	if err != nil {
		t.Error(err)
	}
	if got, _, err := image.Hash(t.Context(), s.Image, nil); got != want || err != nil {
		t.Errorf("slot %s: digest %s, %v; want %s", s.Name, got, err, want)
	}
	if st, err := readStore(s.Name, s.Path); err != nil || st.ID != s.ID {
		t.Errorf("slot %s: its path shows %+v, %v", s.Name, st, err)
	}
}

// forms are in which form three releases are filled: whether as an image.
func forms() map[string][3]bool {
	return map[string][3]bool{
		"directories": {}, "images": {true, true, true}, "to images": {false, true, true}, "from images": {true, false, false},
	}
}

// noLeftOvers wants the work directory to be empty.
func noLeftOvers(t *testing.T, r *Root) {
	t.Helper()
	entries, err := os.ReadDir(r.work())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("left over: %s", e.Name())
	}
}

func TestInit(t *testing.T) {
	r := newRoot(t)
	// What tmpfiles.d may make, and nothing else has yet filled.
	if err := os.MkdirAll(r.Path(B), 0o755); err != nil {
		t.Fatal(err)
	}
	made, err := r.Init(t.Context())
	if err != nil || len(made) != 2 {
		t.Fatalf("Init: %v, %v", made, err)
	}
	hold(t, r, A, "nothing")
	hold(t, r, B, "nothing")
	for _, name := range []string{"overlay-layers/layers.lock", "overlay-images/images.lock"} {
		if info, err := os.Stat(filepath.Join(r.Path(A), name)); err != nil || info.Size() != 64 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if made, err := r.Init(t.Context()); err != nil || len(made) != 0 {
		t.Errorf("Init again: %v, %v", made, err)
	}
	noLeftOvers(t, r)
}

// TestInitDamaged holds that a slot with layers is never replaced by an empty one.
func TestInitDamaged(t *testing.T) {
	r := newRoot(t)
	fill(t, r, 1)
	if _, err := seal.Unseal(t.Context(), r.Path(A)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(r.Path(A), "overlay-images/images.lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Init(t.Context()); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Init: %v, want %v", err, store.ErrDamaged)
	}
	if _, err := os.Stat(filepath.Join(r.Path(A), "overlay-images/images.json")); err != nil {
		t.Error(err)
	}
}

func TestUpgrades(t *testing.T) {
	for name, form := range forms() {
		t.Run(name, func(t *testing.T) { testUpgrades(t, form) })
	}
}

func testUpgrades(t *testing.T, form [3]bool) {
	r := newRoot(t)
	fill := func(t *testing.T, r *Root, n int) *Filled { return fillAs(t, r, n, form[n-1]) }
	if out := fill(t, r, 1); out.Slot != A || out.Seal == nil || !out.Seal.Sealed() {
		t.Errorf("first release: %+v", out)
	}
	hold(t, r, A, "release 4.99.1")
	hold(t, r, B, "nothing")
	if out := fill(t, r, 1); !out.Already || out.Slot != A {
		t.Errorf("the same release again: %+v", out)
	}
	if out := fill(t, r, 2); out.Slot != B {
		t.Errorf("second release: %+v", out)
	}
	_, err := r.Fill(t.Context(), release(t, 3), FillOptions{Now: clock(3)})
	var full *FullError
	if !errors.As(err, &full) || full.Older != A || full.Release != "release 4.99.1" || !errors.Is(err, store.ErrPrecondition) {
		t.Errorf("third release: %v", err)
	}
	old, err := r.Read(A)
	if err != nil {
		t.Fatal(err)
	}
	if held, err := r.Held(old); err != nil || len(held) != 1 {
		t.Errorf("only the old slot has %v, %v; want its own image", held, err)
	}
	out, err := r.Retire(t.Context(), A, Node{EmptyNode: true})
	if err != nil || out.Already || out.Release != "release 4.99.1" || out.Images != 2 {
		t.Errorf("Retire: %+v, %v", out, err)
	}
	hold(t, r, A, "nothing")
	if out, err := r.Retire(t.Context(), A, Node{EmptyNode: true}); err != nil || !out.Already {
		t.Errorf("Retire again: %+v, %v", out, err)
	}
	if out := fill(t, r, 3); out.Slot != A {
		t.Errorf("third release: %+v", out)
	}
	hold(t, r, A, "release 4.99.3")
	hold(t, r, B, "release 4.99.2")
	if older, err := r.Older(); err != nil || older == nil || older.Name != B {
		t.Errorf("older: %+v, %v; want b", older, err)
	}
	noLeftOvers(t, r)
}

func TestBusy(t *testing.T) {
	r := newRoot(t)
	unlock, err := r.lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := r.Fill(t.Context(), release(t, 1), FillOptions{}); !errors.Is(err, filelock.ErrBusy) {
		t.Errorf("Fill: %v, want %v", err, filelock.ErrBusy)
	}
	if _, err := r.Clean(t.Context()); !errors.Is(err, filelock.ErrBusy) {
		t.Errorf("Clean: %v, want %v", err, filelock.ErrBusy)
	}
}

func TestNoMount(t *testing.T) {
	r, err := Open(filepath.Join(testenv.NeedFS(t, "ext4"), "nodeseal"), Options{NoMount: true})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, r, 1)
	rep, err := seal.State(t.Context(), r.Path(A))
	if err != nil || !rep.FlagsSet() || rep.Mounted {
		t.Errorf("%+v, %v; want flags and no mount", rep, err)
	}
	if err := r.Mount(t.Context(), A); err != nil {
		t.Error(err)
	}
	if ok, err := seal.Mounted(r.Path(A)); !ok || err != nil {
		t.Errorf("mounted: %v, %v", ok, err)
	}
	if err := r.Unmount(A, B); err != nil {
		t.Error(err)
	}
}

var errBoom = errors.New("boom")

// TestFailingSteps makes every step of filling and retiring fail, and holds that
// both slots are valid stores then and that the next run finishes the work.
func TestFailingSteps(t *testing.T) {
	for _, asImage := range []bool{false, true} {
		for _, step := range []string{"seal", "swap", "unmount", "exchange", "exchanged", "discard", "look again"} {
			t.Run(fmt.Sprintf("%s-%t", step, asImage), func(t *testing.T) { testFailingStep(t, step, asImage) })
		}
	}
}

func testFailingStep(t *testing.T, step string, asImage bool) {
	r := newRoot(t)
	fillAs(t, r, 1, asImage)
	fail := func(at string) error {
		if at == step {
			return errBoom
		}
		return nil
	}
	r.before = fail
	_, err := r.Fill(t.Context(), release(t, 2), FillOptions{Image: asImage, Now: clock(2)})
	if step != "look again" && !errors.Is(err, errBoom) {
		t.Fatalf("Fill: %v", err)
	}
	valid(t, r)
	r.before = nil
	fillAs(t, r, 2, asImage)
	r.before = fail
	_, err = r.Retire(t.Context(), A, Node{EmptyNode: true})
	filling := step == "seal" || step == "discard" || asImage && step == "swap"
	if !filling && !errors.Is(err, errBoom) {
		t.Fatalf("Retire: %v", err)
	}
	valid(t, r)
	r.before = nil
	if _, err := r.Retire(t.Context(), A, Node{EmptyNode: true}); err != nil {
		t.Fatalf("Retire again: %v", err)
	}
	if err := r.Mount(context.WithoutCancel(t.Context()), Names()...); err != nil {
		t.Error(err)
	}
	s, err := r.Read(B)
	if err != nil || s.Release() != "release 4.99.2" {
		t.Errorf("slot b: %v, %v", s, err)
	}
	hold(t, r, A, "nothing")
	if _, err := r.Clean(t.Context()); err != nil {
		t.Error(err)
	}
	noLeftOvers(t, r)
}

// valid wants both slots to be valid stores.
func valid(t *testing.T, r *Root) {
	t.Helper()
	for _, n := range Names() {
		if _, err := r.Read(n); err != nil {
			t.Errorf("slot %s: %v", n, err)
		}
		if err := usable(r.Path(n)); err != nil {
			t.Errorf("what readers see of slot %s: %v", n, err)
		}
	}
}

func TestClean(t *testing.T) {
	r := newRoot(t)
	if removed, err := r.Clean(t.Context()); err != nil || len(removed) != 0 {
		t.Errorf("no root: %v, %v", removed, err)
	}
	stop := errors.New("stop")
	r.before = func(step string) error {
		if step == "seal" {
			return stop
		}
		return nil
	}
	if _, err := r.Fill(t.Context(), release(t, 1), FillOptions{}); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	removed, err := r.Clean(t.Context())
	if err != nil || len(removed) != 1 {
		t.Errorf("Clean: %v, %v; want the prepared store", removed, err)
	}
	if _, err := os.Stat(r.prepared(A)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
