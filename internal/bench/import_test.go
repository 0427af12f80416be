//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// maxMemory is what an import may have resident by default.
const maxMemory = 256 << 20

// TestImportSets makes all that the other tests read and measures nothing.
func TestImportSets(t *testing.T) {
	testenv.NeedRoot(t)
	for _, name := range []string{"60", "full", "tiny-200", "tiny-1000", "tiny-4000"} {
		t.Run(name, func(t *testing.T) {
			s := importSetOf(t, name)
			if !strings.HasPrefix(name, "tiny") {
				s.docker(t)
			}
			t.Logf("%d images, %d layers, %d files, %d MiB plain, %d MiB gzip",
				len(s.refs), len(s.layers), s.count(t), s.plain>>20, s.compressed>>20)
		})
	}
}

// way gets the images of a set into a store below dir, where an import left its
// own under the name "store".
type way struct {
	name string
	run  func(t *testing.T, s *importSet, dir string) usage
}

var ways = []way{
	{"floor", func(t *testing.T, s *importSet, _ string) usage { return again(t, modeFloor, s.bundle) }},
	{"skopeo", func(t *testing.T, s *importSet, dir string) usage { return s.viaSkopeo(t, dir) }},
	{"library", func(t *testing.T, s *importSet, dir string) usage {
		return again(t, modeLibrary, s.layout, dir, fmt.Sprint(len(s.refs)))
	}},
	{"podman", func(t *testing.T, s *importSet, dir string) usage { return viaPodman(t, dir, s.archive) }},
	{"cp", func(t *testing.T, _ *importSet, dir string) usage {
		return viaCp(t, filepath.Join(filepath.Dir(dir), "store"), dir)
	}},
	// As import does, it ends when what it made is on the disk.
	{"cp-sync", func(t *testing.T, _ *importSet, dir string) usage {
		u := viaCp(t, filepath.Join(filepath.Dir(dir), "store"), dir)
		return u.plus(measure(t, exec.Command(testenv.NeedTool(t, "sync"), "-f", dir)))
	}},
}

// TestImport measures the ways to get images into a store: every way has an
// import beside it, on the same new file system, so that a busy machine is busy
// for both. TestImport/SET/WAY chooses.
func TestImport(t *testing.T) {
	testenv.NeedRoot(t)
	for _, set := range []string{"60", "full"} {
		t.Run(set, func(t *testing.T) {
			for _, w := range ways {
				t.Run(w.name, func(t *testing.T) { pair(t, importSetOf(t, set), w) })
			}
		})
	}
}

func pair(t *testing.T, s *importSet, w way) {
	t.Helper()
	if w.name == "podman" {
		s.docker(t)
	}
	dir := fresh(t)
	ready(t, s.bundle)
	ours := s.importInto(t, filepath.Join(dir, "store"))
	switch w.name {
	case "skopeo", "library":
		ready(t, s.layout)
	case "podman":
		ready(t, s.archive)
	case "cp", "cp-sync":
		ready(t, filepath.Join(dir, "store"))
	default:
		ready(t, s.bundle)
	}
	other := filepath.Join(dir, "other")
	// Where skopeo and podman remember what layers were pulled before.
	check(t, os.RemoveAll("/var/lib/containers/cache"))
	theirs := w.run(t, s, other)
	t.Logf("%-8s %s | import %s | wall %.2f cpu %.2f | load %s", w.name, theirs, ours,
		ours.wall.Seconds()/theirs.wall.Seconds(), ours.cpu.Seconds()/theirs.cpu.Seconds(), load(t))
	if ours.memory > maxMemory {
		t.Errorf("import: %d MiB resident, want less than 256", ours.memory>>20)
	}
	release(other)
}

// TestImportJobs measures time and memory by --jobs.
func TestImportJobs(t *testing.T) {
	testenv.NeedRoot(t)
	s := importSetOf(t, "60")
	for _, jobs := range []int{1, 2, 4, 8, 16} {
		t.Run(fmt.Sprint(jobs), func(t *testing.T) {
			dir := fresh(t)
			ready(t, s.bundle)
			t.Logf("--jobs %-2d %s", jobs, s.importInto(t, filepath.Join(dir, "store"), fmt.Sprintf("--jobs=%d", jobs)))
		})
	}
}

// TestImportTiny measures the time that an image takes that has nearly nothing
// in it, and how long it takes to seal as many layers.
func TestImportTiny(t *testing.T) {
	testenv.NeedRoot(t)
	for _, images := range []int{200, 1000, 4000} {
		t.Run(fmt.Sprint(images), func(t *testing.T) {
			s := importSetOf(t, fmt.Sprintf("tiny-%d", images))
			dir := fresh(t)
			store := filepath.Join(dir, "store")
			u := s.importInto(t, store)
			seal := measure(t, exec.Command(os.Getenv("NODESEAL_BIN"), "seal", "--quiet", "--no-mount", store))
			perImage := 1000 / float64(images)
			t.Logf("%4d images of one small layer: import %s, %.2f ms wall and %.2f ms cpu an image; seal %s; load %s", images, u,
				u.wall.Seconds()*perImage, u.cpu.Seconds()*perImage, seal, load(t))
			if images == 200 {
				other := filepath.Join(dir, "other")
				u := s.viaSkopeo(t, other)
				t.Logf("%4d images of one small layer: skopeo copy %s, %.1f ms wall and %.1f ms cpu an image", images, u,
					u.wall.Seconds()*perImage, u.cpu.Seconds()*perImage)
				release(other)
			}
		})
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
