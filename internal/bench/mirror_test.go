//go:build bench

package bench

import (
	"encoding/json"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/mirror/plan"
)

// TestMirror measures the ways to fetch 60 images, one after another in one
// run, three times over.
func TestMirror(t *testing.T) {
	c := debian(t, 60)
	dir := t.TempDir()
	addr := serve(t, c, dir)
	t.Logf("%d images, %d layers, %d MiB compressed, %d MiB plain", len(c.refs), len(c.layers), c.compressed>>20, c.plain>>20)
	for range 3 {
		sk := skopeo(t, addr, dir, c.refs)
		lib := library(t, addr, dir, c.refs)
		orig, size := mirror(t, dir, "--layers", "original")
		t.Logf("skopeo copy          %s", sk)
		t.Logf("copy.Image           %s", lib)
		t.Logf("bundle, original     %s  wall %.2f of skopeo, %.2f of copy.Image; size %.3f", orig,
			orig.wall.Seconds()/sk.wall.Seconds(), orig.wall.Seconds()/lib.wall.Seconds(), float64(size)/float64(c.compressed))
		exp, size := mirror(t, dir)
		t.Logf("bundle, expanded     %s  size %.3f of the gzip layers", exp, float64(size)/float64(c.compressed))
	}
}

// TestOriginal measures the registry's bytes by copy.Image and by bundle in
// turn, with nothing of the one left to be written while the other runs.
func TestOriginal(t *testing.T) {
	c := debian(t, 60)
	dir := t.TempDir()
	addr := serve(t, c, dir)
	for range 5 {
		unix.Sync()
		lib := library(t, addr, dir, c.refs)
		unix.Sync()
		orig, _ := mirror(t, dir, "--layers", "original")
		t.Logf("copy.Image %s | bundle, original %s | wall %.2f cpu %.2f | load %s", lib, orig,
			orig.wall.Seconds()/lib.wall.Seconds(), orig.cpu.Seconds()/lib.cpu.Seconds(), load(t))
	}
}

// TestLevels measures what each level makes of the images, beside what a dry run says.
func TestLevels(t *testing.T) {
	c := debian(t, 60)
	dir := t.TempDir()
	serve(t, c, dir)
	for _, said := range dryRun(t, dir) {
		u, size := mirror(t, dir, "--level", said.Name)
		t.Logf("%-8s %s  size %.3f of the gzip layers, %4.0f MB of plain data a second; the dry run says %.3f, %d s", said.Name, u,
			float64(size)/float64(c.compressed), float64(c.plain)/1e6/u.wall.Seconds(), float64(said.Bundle)/float64(c.compressed), said.Seconds)
	}
}

// dryRun returns what nodeseal bundle --dry-run says of the levels.
func dryRun(t testing.TB, dir string) []plan.Level {
	t.Helper()
	out, err := mirrorCommand(t, dir, "--dry-run", "--json").Output()
	check(t, err)
	var p struct{ Levels []plan.Level }
	check(t, json.Unmarshal(out, &p))
	return p.Levels
}

// TestMany measures the time that an image takes that has nearly nothing in it, and
// of it the time that asking for attachments takes, of which there are none.
func TestMany(t *testing.T) {
	c := many(t, 1000)
	dir := t.TempDir()
	serve(t, c, dir)
	for range 3 {
		u, _ := mirror(t, dir)
		without, _ := mirror(t, dir, "--no-attachments")
		t.Logf("1000 images of one small layer: %s, %.1f ms an image, with the registry's time; without attachments %s, %.1f ms",
			u, u.wall.Seconds(), without, without.wall.Seconds())
	}
}

// TestMemory measures the memory of each level with two and with eight processors, and
// with more layers at once than there is memory for.
func TestMemory(t *testing.T) {
	c := debian(t, 60)
	dir := t.TempDir()
	serve(t, c, dir)
	for _, processors := range []string{"2", "8"} {
		for _, level := range []string{"fastest", "default", "better", "best"} {
			t.Run(processors+"-"+level, func(t *testing.T) {
				cmd := mirrorCommand(t, dir, "--level", level, "--jobs", "64")
				cmd.Env = append(os.Environ(), "GOMAXPROCS="+processors)
				u := measure(t, cmd)
				t.Logf("%s processors, 64 jobs, level %-8s %s", processors, level, u)
				if u.memory > 256<<20 {
					t.Errorf("%d MiB resident, want less than 256", u.memory>>20)
				}
			})
		}
	}
}

// TestHuge measures the memory and both cores with one layer of 3 GiB.
func TestHuge(t *testing.T) {
	c := huge(t)
	dir := t.TempDir()
	serve(t, c, dir)
	u, size := mirror(t, dir)
	t.Logf("one layer, %d MiB plain, %d MiB compressed: %s, %.2f cores; bundle %d MiB", c.plain>>20, c.compressed>>20, u,
		u.cpu.Seconds()/u.wall.Seconds(), size>>20)
	if u.memory > 256<<20 {
		t.Errorf("%d MiB resident, want less than 256", u.memory>>20)
	}
}
