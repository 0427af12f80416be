//go:build attacks

package attacks

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
)

// longInventory writes a bundle of one image with that many names of 220 bytes, found at that
// many places.
func longInventory(t *testing.T, names, places int) string {
	t.Helper()
	r := newRelease(bundle.Expanded, seekable.FrameSize)
	r.add(t, zeros(t, "file", 1<<20), nil, 0)
	img := &r.inv.Images[0]
	for i := range names {
		img.Names = append(img.Names, fmt.Sprintf("registry.example/%s/image:v%d", strings.Repeat("a", 192), i))
	}
	for i := range places {
		img.From = append(img.From, bundle.Origin{Source: "cluster", Kind: "Pod", Namespace: "ns", Object: fmt.Sprint("pod-", i)})
	}
	return r.write(t)
}

// TestLongestInventories has an inventory nearly as long as it may be, with more names than go into
// the records of a store.
func TestLongestInventories(t *testing.T) {
	const name = "records: an inventory of 29 MiB, an image with 120,000 names: "
	path, dir := longInventory(t, 120_000, 30_000), t.TempDir()
	for _, c := range []struct{ command, before, flag, file string }{
		{"import", "exit 5, 279 MiB", "--store", "store"},
		{"import into an image", "exit 5, 273 MiB", "--image-out", "x.erofs"},
	} {
		args := []string{"import", path, c.flag, filepath.Join(dir, c.file)}
		if c.flag == "--store" {
			args = append(args, "--no-seal")
		}
		attack{Name: name + c.command, Before: c.before, Exit: 5, Says: "120001 names take at least"}.run(t, args...)
	}
}
