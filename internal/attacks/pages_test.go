//go:build attacks

package attacks

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
)

// TestLargestPages writes pages of an inventory nearly as long as it may be: 2,500 images of 30 layers each. What a page
// says is bounded, whatever the inventory has.
func TestLargestPages(t *testing.T) {
	r := newRelease(bundle.Expanded, seekable.FrameSize)
	for i := range 2500 {
		r.add(t, zeros(t, fmt.Sprint("file", i), 1<<10), nil, 0)
	}
	var layers []bundle.Layer
	for i := range r.inv.Images {
		layers = append(layers, r.inv.Images[i].Layers[0])
	}
	for i := range r.inv.Images {
		for j := range 29 {
			r.inv.Images[i].Layers = append(r.inv.Images[i].Layers, layers[(i*7+j*31)%len(layers)])
		}
	}
	path, dir := r.write(t), t.TempDir()
	for _, c := range [][]string{{"inspect", path}, {"diff", "/dev/null", path}} {
		page := filepath.Join(dir, c[0]+".html")
		if c[0] == "diff" {
			c[1] = longInventory(t, 10, 10)
		}
		attack{Name: "memory: an inventory of 2,500 images with 30 layers each: " + c[0] + " --html", Before: "not tried"}.run(t, append(c, "--html", page)...)
		info, err := os.Stat(page)
		must(t, err)
		if info.Size() > 16<<20 {
			t.Errorf("the page has %d bytes", info.Size())
		}
	}
}
