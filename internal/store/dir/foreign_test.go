package dir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/own"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestForeignPartial lets an import find what another user can have changed: it is
// refused, with everything in it left alone. What only root can have changed is taken over.
func TestForeignPartial(t *testing.T) {
	testenv.NeedRoot(t)
	for name, c := range map[string]struct {
		change  func(t *testing.T, partial string) error
		foreign bool
	}{
		"root's own":     {func(*testing.T, string) error { return nil }, false},
		"another user's": {func(_ *testing.T, partial string) error { return os.Chown(partial, 1001, 1001) }, true},
		"open to all":    {func(_ *testing.T, partial string) error { return os.Chmod(partial, 0o777) }, true},
		"open to the group": {func(_ *testing.T, partial string) error {
			return os.Chmod(partial, 0o770)
		}, true},
		"in a directory of all": {func(_ *testing.T, partial string) error {
			return os.Chmod(filepath.Dir(partial), 0o777)
		}, true},
		"in a sticky directory": {func(_ *testing.T, partial string) error {
			return os.Chmod(filepath.Dir(partial), 0o777|fs.ModeSticky)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			src := storetest.NewSource(t, bundle.Expanded)
			src.Add(storetest.Image{Repository: "quay.io/a/b", Layers: [][]byte{storetest.Tar(t, storetest.File("a", "good"))}})
			target := filepath.Join(t.TempDir(), "store")
			broken := errors.New("broken on purpose")
			if _, err := dir.ImportStepwise(t.Context(), src, target, store.ImportOptions{}, func(step string) error {
				if step == "metadata" {
					return broken
				}
				return nil
			}); !errors.Is(err, broken) {
				t.Fatal(err)
			}
			changed := filepath.Join(dir.PartialName(target), "store", store.DiffDir(plannedLayer(t, src)), "a")
			if err := os.WriteFile(changed, []byte("evil"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.change(t, dir.PartialName(target)); err != nil {
				t.Fatal(err)
			}
			res, err := dir.Import(t.Context(), src, target, store.ImportOptions{})
			if errors.Is(err, own.ErrForeign) != c.foreign || errors.Is(err, store.ErrPrecondition) != c.foreign || (err != nil) != c.foreign {
				t.Fatalf("import: %v", err)
			}
			if err == nil && res.TakenOver != 1 {
				t.Errorf("%d layers were taken over, want 1", res.TakenOver)
			}
			if _, err := os.Lstat(changed); c.foreign && err != nil {
				t.Errorf("what the other user has there is gone: %v", err)
			}
		})
	}
	t.Run("a link", func(t *testing.T) {
		src := storetest.NewSource(t, bundle.Expanded)
		src.Add(storetest.Image{Repository: "quay.io/a/b"})
		target, elsewhere := filepath.Join(t.TempDir(), "store"), t.TempDir()
		if err := os.Symlink(elsewhere, dir.PartialName(target)); err != nil {
			t.Fatal(err)
		}
		if _, err := dir.Import(t.Context(), src, target, store.ImportOptions{}); err == nil {
			t.Error("the link was followed")
		}
		if left, err := os.ReadDir(elsewhere); len(left) > 0 || err != nil {
			t.Errorf("behind the link there is %v, %v", left, err)
		}
	})
}

// plannedLayer is the ID of the one layer of src.
func plannedLayer(t *testing.T, src store.Source) string {
	t.Helper()
	plan, err := store.NewPlan(t.Context(), src, store.Selection{Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Layers[0].ID
}
