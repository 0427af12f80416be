//go:build attacks

package attacks

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/internal/imagelist"
)

// TestLargestDifferences compares what is as large as it may be, and has nothing in common.
func TestLargestDifferences(t *testing.T) {
	dir := t.TempDir()
	list := func(name string, first int) string {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		must(t, err)
		w := bufio.NewWriter(f)
		for i := range imagelist.MaxImages {
			fmt.Fprintf(w, "registry.example.com/operators/image-%d@sha256:%064x\n", i, first+i)
		}
		must(t, w.Flush())
		must(t, f.Close())
		return path
	}
	a, b := list("a.lst", 0), list("b.lst", imagelist.MaxImages)
	attack{Name: "memory: two lists of 100,000 images: diff --json", Before: "not tried", Says: `"changed": 100000`}.run(t, "diff", "--json", a, b)
	long := longInventory(t, 120_000, 30_000)
	attack{Name: "records: two inventories of 29 MiB, images with 120,000 names: diff", Before: "not tried", Says: "no difference: 1 image"}.run(t, "diff", long, long)
}
