//go:build attacks

package attacks

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/file"
)

// TestLargestLists reads lists of images as long as they may be, and longer.
func TestLargestLists(t *testing.T) {
	for _, c := range []struct {
		name, before string
		n, exit      int
		line, says   string
	}{
		{"100,000 images: list --json", "not tried", imagelist.MaxImages, 0, "registry.example.com/operators/image-N@sha256:SUM\n", ""},
		{"one image more: list", "804 MiB with 740,000, and more for each", imagelist.MaxImages + 1, 1, "registry.example.com/operators/image-N@sha256:SUM\n", "more than 100000 images"},
		{"250,000 tags of one image: list", "does not end within minutes", file.MaxLines, 0, "registry.example.com/a/b:vN@sha256:" + strings.Repeat("0", 64) + "\n", ""},
	} {
		path := filepath.Join(t.TempDir(), "x.lst")
		f, err := os.Create(path)
		must(t, err)
		w := bufio.NewWriter(f)
		for i := range c.n {
			_, err := io.WriteString(w, strings.NewReplacer("N", strconv.Itoa(i), "SUM", fmt.Sprintf("%064x", i)).Replace(c.line))
			must(t, err)
		}
		must(t, w.Flush())
		must(t, f.Close())
		_, command, _ := strings.Cut(c.name, ": ")
		attack{Name: "memory: a list of " + c.name, Before: c.before, Exit: c.exit, Says: c.says}.run(t, append(strings.Fields(command), "--images", path)...)
	}
}
