package slot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/rmtree"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
)

// outside makes a directory with a file, which nothing may touch.
func outside(t *testing.T) (dir string, untouched func()) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"swap-a/file", "new-a/file", "layer/diff/file", "l/link"} {
		must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600))
	}
	return dir, func() {
		t.Helper()
		for _, name := range []string{"swap-a/file", "new-a/file", "layer/diff/file", "l/link"} {
			if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != "mine" {
				t.Errorf("outside: %s: %q, %v", name, data, err)
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hurt unseals slot n and changes it.
func hurt(t *testing.T, r *Root, n Name, change func(path string) error) {
	t.Helper()
	_, err := seal.Unseal(t.Context(), r.Path(n))
	must(t, err)
	must(t, change(r.Path(n)))
}

// TestHostileSlot: whatever a slot's files have become, the slot is named at once, the
// other one can be mounted, filled and retired, and the damaged one be repaired.
func TestHostileSlot(t *testing.T) {
	inPlace := func(name string, put func(path string) error) func(string) error {
		return func(slot string) error {
			path := filepath.Join(slot, name)
			return errors.Join(os.Rename(path, path+".old"), put(path))
		}
	}
	zero := func(path string) error { return os.Symlink("/dev/zero", path) }
	pipe := func(path string) error { return unix.Mkfifo(path, 0o600) }
	large := func(path string) error {
		return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40))
	}
	away, untouched := outside(t)
	link := func(path string) error { return os.Symlink(away, path) }
	for name, change := range map[string]func(string) error{
		"images.json is a pipe":         inPlace("overlay-images/images.json", pipe),
		"images.json is /dev/zero":      inPlace("overlay-images/images.json", zero),
		"images.json is 1 TiB":          inPlace("overlay-images/images.json", large),
		"layers.json is a pipe":         inPlace("overlay-layers/layers.json", pipe),
		"the inventory is /dev/zero":    inPlace("nodeseal/inventory.json", zero),
		"the lock file is a pipe":       inPlace("overlay-images/images.lock", pipe),
		"overlay is a link":             inPlace("overlay", link),
		"overlay is a link to no place": inPlace("overlay", func(path string) error { return os.Symlink("nowhere", path) }),
		"overlay-layers is a link":      inPlace("overlay-layers", link),
		"overlay-images is a pipe":      inPlace("overlay-images", pipe),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoot(t)
			fill(t, r, 1)
			hurt(t, r, A, change)
			if _, err := r.Read(A); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "slot a") {
				t.Errorf("reading slot a: %v", err)
			}
			if err := r.Mount(t.Context(), Names()...); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("mounting both: %v", err)
			}
			for _, n := range Names() {
				if up, err := seal.Mounted(r.Path(n)); err != nil || !up {
					t.Errorf("slot %s: mounted: %v, %v", n, up, err)
				}
			}
			var mu sync.Mutex // warnings come from several goroutines
			var warned string
			opts := FillOptions{Now: clock(2)}
			opts.Progress = func(e progress.Event) {
				if e.Kind == progress.Warning {
					mu.Lock()
					defer mu.Unlock()
					warned = e.Message
				}
			}
			if out, err := r.Fill(t.Context(), release(t, 2), opts); err != nil || out.Slot != B || !strings.Contains(warned, "slot a") {
				t.Errorf("filling slot b: %+v, %v, %q", out, err, warned)
			}
			hold(t, r, B, "release 4.99.2")
			if _, err := r.Clean(t.Context()); err != nil {
				t.Errorf("cleaning: %v", err)
			}
			if _, err := r.Retire(t.Context(), A, Node{EmptyNode: true}); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("retiring slot a: %v", err)
			}
			if _, err := r.Retire(t.Context(), B, Node{EmptyNode: true}); err != nil {
				t.Errorf("retiring slot b: %v", err)
			}
			if _, err := r.Fill(t.Context(), release(t, 1), FillOptions{Now: clock(1)}); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("filling what slot a is to have into slot b: %v", err)
			}
			if _, err := r.Repair(t.Context(), release(t, 1), A, FillOptions{}); err != nil {
				t.Errorf("repairing slot a: %v", err)
			}
			hold(t, r, A, "release 4.99.1")
			noLeftOvers(t, r)
			untouched()
		})
	}
}

// TestWorkIsLink: what .work leads to is not touched, and the slots are mounted.
func TestWorkIsLink(t *testing.T) {
	r := newRoot(t)
	fill(t, r, 1)
	must(t, r.Unmount(Names()...))
	away, untouched := outside(t)
	must(t, os.Remove(r.work()))
	must(t, os.Symlink(away, r.work()))
	for name, do := range map[string]func() error{
		"clean":  func() error { _, err := r.Clean(t.Context()); return err },
		"mount":  func() error { return r.Mount(t.Context(), Names()...) },
		"retire": func() error { _, err := r.Retire(t.Context(), A, Node{EmptyNode: true}); return err },
		"fill":   func() error { _, err := r.Fill(t.Context(), release(t, 2), FillOptions{Now: clock(2)}); return err },
	} {
		if err := do(); !errors.Is(err, safefile.ErrNotRegular) || !strings.Contains(err.Error(), r.work()) {
			t.Errorf("%s: %v", name, err)
		}
		untouched()
	}
	for _, n := range Names() {
		if up, err := seal.Mounted(r.Path(n)); err != nil || !up {
			t.Errorf("slot %s: mounted: %v, %v", n, up, err)
		}
	}
	must(t, os.Remove(r.work()))
	_, err := r.Clean(t.Context())
	must(t, err)
}

// TestMountedInside: with something mounted inside of what is to go, no file of it is
// removed, the mount is named, and the other slot goes on.
func TestMountedInside(t *testing.T) {
	for _, place := range []string{"slot", "swap"} {
		t.Run(place, func(t *testing.T) {
			r := newRoot(t)
			fill(t, r, 1)
			fill(t, r, 2)
			away, untouched := outside(t)
			point := filepath.Join(r.swap(A), "deep/inside")
			if place == "slot" {
				layers, err := filepath.Glob(filepath.Join(r.Path(A), "overlay/*/diff/etc"))
				if err != nil || len(layers) == 0 {
					t.Fatalf("layers: %v, %v", layers, err)
				}
				point = layers[0]
			} else {
				must(t, os.MkdirAll(point, 0o755))
			}
			must(t, unix.Mount(away, point, "", unix.MS_BIND, ""))
			mounted := true
			t.Cleanup(func() {
				if mounted {
					_ = unix.Unmount(point, unix.MNT_DETACH)
				}
			})
			var at *rmtree.MountError
			refused := func(what string, err error) {
				t.Helper()
				if !errors.As(err, &at) || !errors.Is(err, store.ErrPrecondition) || !strings.Contains(err.Error(), point) {
					t.Errorf("%s: %v", what, err)
				}
				untouched()
			}
			_, err := r.Retire(t.Context(), A, Node{EmptyNode: true})
			refused("retiring", err)
			hold(t, r, A, "release 4.99.1")
			_, err = r.Clean(t.Context())
			if place == "swap" {
				refused("cleaning", err)
				refused("mounting", r.Mount(t.Context(), Names()...))
			} else if err != nil {
				t.Errorf("cleaning: %v", err)
			}
			if _, err := r.Retire(t.Context(), B, Node{EmptyNode: true}); err != nil {
				t.Errorf("retiring the other one: %v", err)
			}
			must(t, unix.Unmount(point, unix.MNT_DETACH))
			mounted = false
			if _, err := r.Retire(t.Context(), A, Node{EmptyNode: true}); err != nil {
				t.Errorf("retiring: %v", err)
			}
			untouched()
			noLeftOvers(t, r)
		})
	}
}

// TestRepairStoreBusy: two repairs of one store exclude each other.
func TestRepairStoreBusy(t *testing.T) {
	path := filepath.Join(filepath.Dir(newRoot(t).Dir()), "single")
	unlock, err := lockDir(filepath.Join(filepath.Dir(path), ".single.repairing"))
	must(t, err)
	if _, err := RepairStore(t.Context(), release(t, 1), path, true, FillOptions{}); !errors.Is(err, filelock.ErrBusy) {
		t.Errorf("while another one is at work: %v", err)
	}
	unlock()
	if _, err := RepairStore(t.Context(), release(t, 1), path, true, FillOptions{}); errors.Is(err, filelock.ErrBusy) {
		t.Errorf("afterwards: %v", err)
	}
}
