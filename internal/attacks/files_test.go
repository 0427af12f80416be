//go:build attacks

package attacks

import (
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

// TestManyFiles makes an image of half a million files: what is known of each of them is
// in a file beside it.
func TestManyFiles(t *testing.T) {
	at := t.TempDir()
	path := filepath.Join(at, "big.tar.zst")
	storetest.Big{Images: 50, Files: 10_000}.WriteBundle(t, path)
	attack{Name: "memory: 500,000 files: import into an image", Before: "exit 0, 307 MiB"}.
		run(t, "import", path, "--jobs", "2", "--image-out", filepath.Join(at, "x.erofs"))
}
