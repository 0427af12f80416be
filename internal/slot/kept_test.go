package slot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/store"
)

// TestDamagedKept damages the list of the mounts that an old store is kept for: the store stays
// while anything runs from the slot, every command that sweeps says so, as damage, the other slot
// is filled meanwhile, and when nothing runs from the slot the store goes.
func TestDamagedKept(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"half of it":  func(path string) error { return os.WriteFile(path, []byte(`["a`), 0o600) },
		"empty":       func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"of no mount": func(path string) error { return os.WriteFile(path, []byte("[]"), 0o600) },
		"a pipe":      func(path string) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)) },
		"a link":      func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/dev/zero", path)) },
		"too large":   func(path string) error { return os.Truncate(path, maxKept+1) },
	} {
		t.Run(name, func(t *testing.T) {
			r, list, down := keepOne(t)
			must(t, put(list))

			var damaged *KeptError
			if _, err := r.Clean(t.Context()); !errors.As(err, &damaged) || damaged.Slot != A || damaged.List != list || !errors.Is(err, store.ErrDamaged) {
				t.Errorf("cleaning: %v", err)
			}
			if _, err := r.Init(t.Context()); !errors.As(err, &damaged) {
				t.Errorf("Init: %v", err)
			}
			plan, err := r.PlanClean()
			must(t, err)
			for _, step := range plan.Steps {
				if strings.Contains(step.What, keptPrefix) {
					t.Errorf("the plan of a clean: %+v", step)
				}
			}
			if !there(strings.TrimSuffix(list, listSuffix)) {
				t.Fatal("the store that is read was removed")
			}
			if out, err := r.Fill(t.Context(), release(t, 2), FillOptions{Now: clock(2)}); err != nil || out.Slot != B {
				t.Errorf("filling the other slot: %+v, %v", out, err)
			}
			down()
			if _, err := r.Clean(t.Context()); err != nil {
				t.Errorf("cleaning when nothing runs from it: %v", err)
			}
			noLeftOvers(t, r)
		})
	}
}

// TestUnreadableKept has a list that cannot be read for now, as by a process with too many open
// files: that is no damage, and nothing goes, though nothing runs from the slot.
func TestUnreadableKept(t *testing.T) {
	r, list, down := keepOne(t)
	down()
	must(t, unix.Mount("/proc/self/mem", list, "", unix.MS_BIND, "")) // its first byte is EIO
	bound := true
	t.Cleanup(func() {
		if bound {
			must(t, unix.Unmount(list, unix.MNT_DETACH))
		}
	})
	removed, err := r.Clean(t.Context())
	if err == nil || errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "reading the list of the containers") {
		t.Errorf("cleaning: %v, removed %q", err, removed)
	}
	if !there(strings.TrimSuffix(list, listSuffix)) {
		t.Fatal("the old store was removed")
	}
	must(t, unix.Unmount(list, unix.MNT_DETACH))
	bound = false
	if _, err := r.Clean(t.Context()); err != nil {
		t.Errorf("cleaning when it can be read: %v", err)
	}
	noLeftOvers(t, r)
}

// keepOne keeps an old store of slot a, which an overlay reads until down is called, and returns
// the list of its mounts.
func keepOne(t *testing.T) (r *Root, list string, down func()) {
	t.Helper()
	r = newRoot(t)
	fill(t, r, 1)
	layers, err := filepath.Glob(filepath.Join(r.Path(A), "overlay", "*", "diff"))
	if err != nil || len(layers) == 0 {
		t.Fatalf("layers: %v, %v", layers, err)
	}
	point, empty := t.TempDir(), t.TempDir()
	must(t, unix.Mount("overlay", point, "overlay", unix.MS_RDONLY, "lowerdir="+layers[0]+":"+empty))
	up := true
	down = func() {
		if up {
			must(t, unix.Unmount(point, 0))
		}
		up = false
	}
	t.Cleanup(down)
	_, err = r.Repair(t.Context(), release(t, 1), A, FillOptions{Now: clock(1)}) // which exchanges it
	must(t, err)
	lists, err := filepath.Glob(filepath.Join(r.work(), keptPrefix+"a-*"+listSuffix))
	if err != nil || len(lists) != 1 {
		t.Fatalf("lists of kept stores: %v, %v", lists, err)
	}
	return r, lists[0], down
}
