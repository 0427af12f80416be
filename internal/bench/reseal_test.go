//go:build bench

package bench

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// resealRounds is how many pairs of a full import and a reseal are measured.
const resealRounds = 3

// TestReseal measures reseal of a release that shares 80 % of its layers with the
// one in the other slot, by count and by bytes, beside a full import of it into
// an empty slot. Both seal and mount, each on a new file system. NODESEAL_BENCH_FORMAT
// is the form of the stores, "dir" where it is not set.
func TestReseal(t *testing.T) {
	testenv.NeedRoot(t)
	program := os.Getenv("NODESEAL_BIN")
	testenv.Require(t, program != "", "the benchmark needs the program in NODESEAL_BIN")
	format := cmp.Or(os.Getenv("NODESEAL_BENCH_FORMAT"), "dir")
	before := debian(t, 60)
	fifth := everyFifth(before)
	after := renewed(t, 60, fifth)
	var same int64
	var count int
	for i, l := range before.layers {
		if !fifth[before.names[i]] {
			same += l.Plain
			count++
		}
	}
	t.Logf("%d of %d layers are shared, %d of %d MiB; load %s", count, len(before.layers), same>>20, before.plain>>20, load(t))
	first, second := newImportSet(t, "60", before), newImportSet(t, "60-renewed", after)
	for i := range resealRounds {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			slot := func(root, command, bundle string) usage {
				check(t, os.MkdirAll(root, 0o755))
				ready(t, bundle, root)
				return measure(t, exec.Command(program, command, "--quiet", "--gc-threshold=0", "--format", format, "--root", root, bundle))
			}
			whole := slot(filepath.Join(fresh(t), "node"), "import", second.bundle)
			node := filepath.Join(fresh(t), "node")
			slot(node, "import", first.bundle)
			part := slot(node, "reseal", second.bundle)
			t.Logf("import %s | reseal %s | wall %.2f cpu %.2f | load %s", whole, part,
				part.wall.Seconds()/whole.wall.Seconds(), part.cpu.Seconds()/whole.cpu.Seconds(), load(t))
		})
	}
}

// everyFifth names every fifth layer, by size, but for the base: about a fifth
// of the layers, and of their bytes.
func everyFifth(c *corpus) map[string]bool {
	order := make([]int, 0, len(c.layers))
	for i, name := range c.names {
		if name != "base" {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(c.layers[b].Plain, c.layers[a].Plain) })
	names := make(map[string]bool)
	for i := 2; i < len(order); i += 5 {
		names[c.names[order[i]]] = true
	}
	return names
}
