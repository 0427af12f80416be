//go:build attacks

package attacks

import (
	"os"
	"path/filepath"
	"testing"
)

// TestZeros takes a sparse file for a bundle.
func TestZeros(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.tar.zst")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Fatal(err)
	}
	attack{
		Name: "bundle: a sparse file of 1 TiB, all zeros", Before: "exit 4",
		Exit: 4, Says: "bundle is damaged",
	}.run(t, "inspect", path)
}
