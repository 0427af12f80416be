package slot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/store"
)

// errDead ends a command at a step as a kill would: what it was about to do is not done.
var errDead = errors.New("killed")

func dieAt(r *Root, step string) {
	r.before = func(at string) error {
		if at == step {
			return errDead
		}
		return nil
	}
}

// TestUnsureRetireIsUndone holds that a store which a killed retire had taken out of its slot
// comes back with the next command, whichever that is: only the second look would
// have told that nothing needs it.
func TestUnsureRetireIsUndone(t *testing.T) {
	commands := map[string]func(ctx context.Context, r *Root) error{
		"clean": func(ctx context.Context, r *Root) error { _, err := r.Clean(ctx); return err },
		"mount": func(ctx context.Context, r *Root) error { return r.Mount(ctx, Names()...) },
		"import": func(ctx context.Context, r *Root) error {
			out, err := r.Fill(ctx, release(t, 1), FillOptions{Now: clock(1)})
			if err == nil && !out.Already {
				t.Errorf("the release was imported once more: %+v", out)
			}
			return err
		},
		"repair of the other slot": func(ctx context.Context, r *Root) error {
			_, err := r.Repair(ctx, release(t, 2), B, FillOptions{})
			return err
		},
	}
	for _, asImage := range []bool{false, true} {
		for _, step := range []string{"exchanged", "look again", "give up"} {
			for name, command := range commands {
				t.Run(step+"/"+name+map[bool]string{true: "/image"}[asImage], func(t *testing.T) {
					r := newRoot(t)
					fillAs(t, r, 1, asImage)
					fillAs(t, r, 2, asImage)
					dieAt(r, step)
					if _, err := r.Retire(t.Context(), A, Node{}); !errors.Is(err, errDead) {
						t.Fatal(err)
					}
					r.before = nil
					if s, err := r.Read(A); err != nil || !s.Free() {
						t.Fatalf("before: %+v, %v; want an empty slot", s, err)
					}
					if err := command(t.Context(), r); err != nil {
						t.Fatal(err)
					}
					hold(t, r, A, "release 4.99.1")
					hold(t, r, B, "release 4.99.2")
					noLeftOvers(t, r)
				})
			}
		}
	}
}

// runFrom mounts an overlay of a layer of slot n, as a container has it.
func runFrom(t *testing.T, r *Root, n Name) (point string, stop func()) {
	t.Helper()
	s, err := r.Read(n)
	if err != nil {
		t.Fatal(err)
	}
	at := t.TempDir()
	point = filepath.Join(at, "merged")
	if err := os.Mkdir(point, 0o755); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(at, "other") // a single lower directory wants another layer or an upper one
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	lower := filepath.Join(r.Path(n), store.DiffDir(s.Store.Layers[0].ID))
	if err := unix.Mount("overlay", point, "overlay", unix.MS_RDONLY, "lowerdir="+lower+":"+other); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return point, stop
}

// TestRepairKeepsWhatRuns holds that containers which run from a store go on to see
// its files after it was replaced, also if the repair was killed before it removed the old one, and that
// the old store is gone when they are.
func TestRepairKeepsWhatRuns(t *testing.T) {
	for _, step := range []string{"", "discard", "exchanged"} {
		t.Run("killed before "+step, func(t *testing.T) {
			r := newRoot(t)
			fill(t, r, 1)
			point, stop := runFrom(t, r, A)
			want, err := os.ReadDir(point)
			if err != nil || len(want) == 0 {
				t.Fatal(want, err)
			}
			dieAt(r, step)
			if _, err := r.Repair(t.Context(), release(t, 1), A, FillOptions{}); step != "" && !errors.Is(err, errDead) || step == "" && err != nil {
				t.Fatal(err)
			}
			r.before = nil
			if _, err := r.Init(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadDir(point); err != nil || len(got) != len(want) {
				t.Errorf("the container sees %v, %v; want %v", got, err, want)
			}
			hold(t, r, A, "release 4.99.1")
			stop()
			if _, err := r.Init(t.Context()); err != nil {
				t.Fatal(err)
			}
			noLeftOvers(t, r)
		})
	}
}

// TestRestOfARemovedStoreIsNone holds that what a kill has left of a finished store that was being removed
// is not taken for that store.
func TestRestOfARemovedStoreIsNone(t *testing.T) {
	r := newRoot(t)
	fill(t, r, 1)
	dieAt(r, "swap")
	if _, err := r.Fill(t.Context(), release(t, 2), FillOptions{NoSeal: true}); !errors.Is(err, errDead) {
		t.Fatal(err)
	}
	// A mount in it is the moment at which the removal ends: it has its other name then.
	busy := filepath.Join(r.prepared(B), store.OverlayDir)
	r.before = nil
	if err := unix.Mount("tmpfs", busy, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Clean(t.Context()); !errors.Is(err, store.ErrPrecondition) {
		t.Errorf("clean with something mounted in what is to go: %v", err)
	}
	if err := unix.Unmount(busy, 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := discard(ctx, r.prepared(B)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if there(r.prepared(B)) || !there(r.prepared(B)+goneSuffix) {
		t.Error("a store that is removed in part has the name of a finished one")
	}
	if out := fill(t, r, 2); out.Already || out.Counts == nil {
		t.Errorf("the rest was taken for the store: %+v", out)
	}
	hold(t, r, B, "release 4.99.2")
	noLeftOvers(t, r)
}

// TestKeptTwice holds that a store can be retired again while containers of the time before still run.
func TestKeptTwice(t *testing.T) {
	r := newRoot(t)
	fill(t, r, 1)
	fill(t, r, 2)
	for range 2 {
		s, err := r.Read(A)
		if err != nil {
			t.Fatal(err)
		}
		ctx, err := r.takeAway(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		_, stop := runFrom(t, r, B) // anything that is mounted
		defer stop()
		readers, err := readersOf(r.Path(B))
		if err != nil || len(readers) == 0 {
			t.Fatalf("%v, %v", readers, err)
		}
		if err := r.giveUp(ctx, s, readers); err != nil {
			t.Fatal(err)
		}
		fill(t, r, 1)
	}
	if kept, err := filepath.Glob(filepath.Join(r.work(), keptPrefix+"*"+listSuffix)); err != nil || len(kept) != 2 {
		t.Errorf("kept %v, %v; want two", kept, err)
	}
}

// TestCleanStore holds that what a repair of a single store leaves is found by what clean
// says it would remove, and removed.
func TestCleanStore(t *testing.T) {
	r := newRoot(t)
	fill(t, r, 1)
	path := filepath.Join(r.dir, "single")
	at, err := newSingle(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{at.lock, at.prepared, at.swap, at.swap + goneSuffix} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at.preparedFile(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	left, err := at.leftovers()
	if err != nil || len(left) != 5 {
		t.Errorf("left: %v, %v", left, err)
	}
	removed, err := CleanStore(t.Context(), path)
	if err != nil || len(removed) != len(left) {
		t.Errorf("removed %v, %v; want %v", removed, err, left)
	}
	if left, err := at.leftovers(); err != nil || len(left) != 0 {
		t.Errorf("left afterwards: %v, %v", left, err)
	}
}
