package trust_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// A pipe, a device or a directory in the place of the node's own file of keys is refused, and not waited for;
// a link to a file is followed.
func TestNodeKeysAreRegular(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(path string) error{
		"a pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a device":    func(path string) error { return os.Symlink("/dev/zero", path) },
		"a link to a pipe": func(path string) error {
			return errors.Join(syscall.Mkfifo(path+"-", 0o600), os.Symlink(path+"-", path))
		},
	} {
		root := t.TempDir()
		path := nodeKey(t, root)
		if err := put(path); err != nil {
			t.Fatal(err)
		}
		_, _, err := trust.Bundle{}.Keys(t.Context(), root)
		var bad *trust.KeysError
		if !errors.As(err, &bad) || bad.Named || !errors.Is(err, safefile.ErrNotRegular) {
			t.Errorf("%s: %v", name, err)
		}
	}
	root := t.TempDir()
	path := nodeKey(t, root)
	if err := errors.Join(os.WriteFile(path+"-", []byte(publicKey), 0o600), os.Symlink(filepath.Base(path)+"-", path)); err != nil {
		t.Fatal(err)
	}
	if keys, _, err := (trust.Bundle{}).Keys(t.Context(), root); len(keys) != 1 || err != nil {
		t.Errorf("a link to a file: %v, %v", keys, err)
	}
}

func nodeKey(t *testing.T, root string) string {
	t.Helper()
	dir := filepath.Join(root, "etc", "nodeseal")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "bundle.pub")
}

// A pipe that is named is read, once for all that asks; one that nobody writes is waited for until ctx ends.
func TestNamedPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := (trust.Bundle{Key: trust.File(path)}).Keys(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("a pipe that nobody writes: %v", err)
	}
	if _, err := trust.PrivateKey(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("a private key that nobody writes: %v", err)
	}

	// Another one: who waited above may still wait.
	if path += "2"; syscall.Mkfifo(path, 0o600) != nil {
		t.Fatal(path)
	}
	go os.WriteFile(path, []byte(publicKey), 0o600)
	by := trust.Bundle{Key: trust.File(path), Once: new(trust.Once)}
	for range 2 {
		if keys, _, err := by.Keys(t.Context(), ""); len(keys) != 1 || err != nil {
			t.Errorf("%v, %v", keys, err)
		}
	}
}
