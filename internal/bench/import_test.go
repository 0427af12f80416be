//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestImport measures the ways to get 60 images into a store: every
// way has an import beside it, so that a busy machine is busy for both.
func TestImport(t *testing.T) {
	testenv.NeedRoot(t)
	s := newImportSet(t, "60", debian(t, 60))
	s.count(t)
	t.Logf("%d images, %d layers, %d files, %d MiB plain, %d MiB gzip; load %s",
		len(s.refs), len(s.layers), s.files, s.plain>>20, s.compressed>>20, load(t))
	store, other, archive := filepath.Join(s.dir, "store"), filepath.Join(s.dir, "other"), filepath.Join(s.dir, "images.tar")
	ways := []struct {
		name string
		run  func() usage
	}{
		{"decode and hash, the floor", func() usage { return again(t, modeFloor, s.bundle) }},
		{"skopeo copy", func() usage {
			u := s.viaSkopeo(t, other)
			if _, err := os.Stat(archive); err != nil {
				s.archive(t, other, archive)
			}
			return u
		}},
		{"copy.Image", func() usage { return again(t, modeLibrary, s.layout, other, fmt.Sprint(len(s.refs))) }},
		{"podman load", func() usage { return viaPodman(t, other, archive) }},
		{"cp -ar, chattr -R +i", func() usage { return viaCp(t, store, other) }},
	}
	for _, w := range ways {
		unix.Sync()
		ours := s.importInto(t, store)
		unix.Sync()
		theirs := w.run()
		t.Logf("%-26s %s | import %s | wall %.2f cpu %.2f | load %s", w.name, theirs, ours,
			ours.wall.Seconds()/theirs.wall.Seconds(), ours.cpu.Seconds()/theirs.cpu.Seconds(), load(t))
		if ours.memory > 256<<20 {
			t.Errorf("import: %d MiB resident, want less than 256", ours.memory>>20)
		}
		remove(t, other)
		remove(t, store)
	}
}

// TestImportJobs measures time and memory by --jobs.
func TestImportJobs(t *testing.T) {
	testenv.NeedRoot(t)
	s := newImportSet(t, "60", debian(t, 60))
	store := filepath.Join(s.dir, "store")
	for _, jobs := range []int{1, 2, 4, 8, 16} {
		u := s.importInto(t, store, fmt.Sprintf("--jobs=%d", jobs))
		t.Logf("--jobs %-2d %s", jobs, u)
		remove(t, store)
	}
}

// TestImportTiny measures the time that an image takes that has nearly nothing
// in it, and how long it takes to seal as many layers.
func TestImportTiny(t *testing.T) {
	testenv.NeedRoot(t)
	for _, images := range []int{200, 1000, 4000} {
		s := newImportSet(t, fmt.Sprintf("tiny-%d", images), many(t, images))
		store := filepath.Join(s.dir, "store")
		u := s.importInto(t, store)
		seal := measure(t, exec.Command(os.Getenv("NODESEAL_BIN"), "seal", "--quiet", "--no-mount", store))
		perImage := 1000 / float64(images)
		t.Logf("%4d images of one small layer: import %s, %.2f ms wall and %.2f ms cpu an image; seal %s", images, u,
			u.wall.Seconds()*perImage, u.cpu.Seconds()*perImage, seal)
		remove(t, store)
		if images == 200 {
			other := filepath.Join(s.dir, "other")
			u := s.viaSkopeo(t, other)
			t.Logf("%4d images of one small layer: skopeo copy %s, %.1f ms wall and %.1f ms cpu an image", images, u,
				u.wall.Seconds()*perImage, u.cpu.Seconds()*perImage)
			remove(t, other)
		}
	}
}

// load is the machine's load of the last minute.
func load(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("/proc/loadavg")
	check(t, err)
	one, _, _ := strings.Cut(string(data), " ")
	return one
}
