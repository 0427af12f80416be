package filelock

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestTake holds a file and a directory against a second open of each.
func TestTake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "lock")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, file} {
		first, second := open(t, path), open(t, path)
		if err := Take(first); err != nil {
			t.Fatalf("Take: %v", err)
		}
		if err := Take(second); !errors.Is(err, ErrBusy) {
			t.Errorf("Take of what is held: %v, want ErrBusy", err)
		}
		if err := Held(second); !errors.Is(err, ErrBusy) {
			t.Errorf("Held of what is held: %v, want ErrBusy", err)
		}
		// As a process that is being started has it for a moment.
		copied, err := unix.Dup(int(first.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(Release(first), first.Close()); err != nil {
			t.Errorf("Release: %v", err)
		}
		third := open(t, path)
		if err := errors.Join(Held(second), Held(third)); err != nil {
			t.Errorf("Held after Release: %v", err)
		}
		if err := Take(second); err != nil {
			t.Errorf("Take after Release: %v", err)
		}
		unix.Close(copied)
	}
}

// TestTakeClosed is an error, and not that another command is at work.
func TestTakeClosed(t *testing.T) {
	t.Parallel()
	f := open(t, t.TempDir())
	f.Close()
	if err := Take(f); err == nil || errors.Is(err, ErrBusy) {
		t.Errorf("Take of a closed file: %v", err)
	}
}
