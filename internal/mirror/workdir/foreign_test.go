package workdir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/internal/own"
)

// TestForeignWorkDirectory opens a work directory whose records another user can have
// written.
func TestForeignWorkDirectory(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(root string) error{
		"records open to all":   func(root string) error { return os.Chmod(filepath.Join(root, dirLayers), 0o777) },
		"frames open to all":    func(root string) error { return os.Chmod(filepath.Join(root, dirFrames), 0o777) },
		"the whole open to all": func(root string) error { return os.Chmod(root, 0o777) },
		"records are a link": func(root string) error {
			return errors.Join(os.Rename(filepath.Join(root, dirLayers), root+"-moved"), os.Symlink(root+"-moved", filepath.Join(root, dirLayers)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := filepath.Join(t.TempDir(), "work")
			w, err := Open(root, "encoder")
			must(t, err)
			w.Close()
			if again, err := Open(root, "encoder"); err != nil {
				t.Fatal(err)
			} else {
				again.Close()
			}
			must(t, change(root))
			if _, err := Open(root, "encoder"); !errors.Is(err, own.ErrForeign) {
				t.Errorf("got %v", err)
			}
		})
	}
}
