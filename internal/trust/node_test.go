package trust_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/trust"
)

const publicKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHJZ4l8ZxhcJmefCAZ9sCyOGd6ZVR
xYIM0NOjYqU9yVZvDu+DxyQIRX3+l3lfTKoUddzkhRZKgtds5nJahH6PgQ==
-----END PUBLIC KEY-----
`

// The keys of the node at a sysroot are taken if none is named; a file that is there
// and no key is an error.
func TestNodeKeys(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if keys, from, err := (trust.Bundle{}).Keys(t.Context(), root); keys != nil || from != "" || err != nil {
		t.Errorf("a node without keys: %v, %q, %v", keys, from, err)
	}
	dir := filepath.Join(root, "etc", "nodeseal")
	path := filepath.Join(dir, "bundle.pub")
	write := func(content string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(publicKey)
	if keys, from, err := (trust.Bundle{}).Keys(t.Context(), root); len(keys) != 1 || from != path || err != nil {
		t.Errorf("a node with a key: %v, %q, %v", keys, from, err)
	}
	if keys, _, err := (trust.Bundle{Insecure: true}).Keys(t.Context(), root); keys != nil || err != nil {
		t.Errorf("insecure: %v, %v", keys, err)
	}
	if _, _, err := (trust.Bundle{Insecure: true, Key: "k"}).Keys(t.Context(), root); !errors.Is(err, trust.ErrBoth) {
		t.Errorf("both: %v", err)
	}
	if _, _, err := (trust.Bundle{Key: trust.File(filepath.Join(root, "none"))}).Keys(t.Context(), root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a named file that is not there: %v", err)
	}
	write("")
	if _, _, err := (trust.Bundle{}).Keys(t.Context(), root); !errors.Is(err, signature.ErrKey) {
		t.Errorf("an empty file on the node: %v", err)
	}
	if err := errors.Join(os.Remove(path), os.Symlink("nowhere", path)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (trust.Bundle{}).Keys(t.Context(), root); err == nil {
		t.Error("a link that leads nowhere: no error")
	}
}
