package own_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/internal/own"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode    fs.FileMode
		uid     int
		foreign bool
	}{
		"closed":          {0o700, os.Geteuid(), false},
		"read by others":  {0o755, os.Geteuid(), false},
		"group may write": {0o775, os.Geteuid(), true},
		"all may write":   {0o757, os.Geteuid(), true},
		"another user's":  {0o700, os.Geteuid() + 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "d")
			if err := errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, c.mode)); err != nil {
				t.Fatal(err)
			}
			if c.uid != os.Geteuid() {
				if os.Geteuid() != 0 {
					t.Skip("needs root: it gives a directory to another user")
				}
				if err := os.Chown(path, c.uid, -1); err != nil {
					t.Fatal(err)
				}
			}
			if err := own.CheckPath(path); errors.Is(err, own.ErrForeign) != c.foreign || (err != nil) != c.foreign {
				t.Errorf("got %v", err)
			}
			link := path + "-link"
			if err := os.Symlink(path, link); err != nil {
				t.Fatal(err)
			}
			if err := own.CheckPath(link); !errors.Is(err, own.ErrForeign) {
				t.Errorf("a link to it: %v", err)
			}
		})
	}
}

func TestCheckParent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for mode, foreign := range map[fs.FileMode]bool{0o755: false, 0o777 | fs.ModeSticky: false, 0o777: true} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := own.CheckParent(dir); errors.Is(err, own.ErrForeign) != foreign {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}
