//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// maxImageMemory is what an import of an image may have resident.
const maxImageMemory = 512 << 20

// TestImportImage measures the ways of TestImport, and the import of a directory,
// each with an import of an image beside it on the same new file system.
func TestImportImage(t *testing.T) {
	testenv.NeedRoot(t)
	directory := way{"dir", func(t *testing.T, s *importSet, dir string) usage { return s.importInto(t, dir) }}
	for _, set := range []string{"60", "full"} {
		t.Run(set, func(t *testing.T) {
			for _, w := range append([]way{directory}, ways...) {
				if !strings.HasPrefix(w.name, "cp") { // it copies a directory
					t.Run(w.name, func(t *testing.T) { imagePair(t, importSetOf(t, set), w) })
				}
			}
		})
	}
}

func imagePair(t *testing.T, s *importSet, w way) {
	t.Helper()
	if w.name == "podman" {
		s.docker(t)
	}
	dir := fresh(t)
	image, other := filepath.Join(dir, "store.erofs"), filepath.Join(dir, "other")
	ready(t, s.bundle)
	ours := s.imageInto(t, image)
	switch w.name {
	case "skopeo", "library":
		ready(t, s.layout)
	case "podman":
		ready(t, s.archive)
	default:
		ready(t, s.bundle)
	}
	theirs := w.run(t, s, other)
	t.Logf("%-8s %s | image %s | wall %.2f cpu %.2f | load %s", w.name, theirs, ours,
		ours.wall.Seconds()/theirs.wall.Seconds(), ours.cpu.Seconds()/theirs.cpu.Seconds(), load(t))
	if ours.memory > maxImageMemory {
		t.Errorf("import: %d MiB resident, want less than %d", ours.memory>>20, maxImageMemory>>20)
	}
	if w.name == "dir" {
		ours, theirs := diskUsage(t, image), diskUsage(t, other)
		t.Logf("disk: image %d MiB, directory %d MiB, %.3f", ours>>20, theirs>>20, float64(ours)/float64(theirs))
	}
	release(other)
}

// imageInto imports into an image.
func (s *importSet) imageInto(t testing.TB, image string) usage {
	t.Helper()
	return measure(t, exec.Command(os.Getenv("NODESEAL_BIN"), "import", "--quiet", "--image-out", image, s.bundle))
}

// diskUsage is what du says, in bytes.
func diskUsage(t testing.TB, path string) (bytes int64) {
	t.Helper()
	out, err := exec.Command("du", "-s", "--block-size=1", path).Output()
	check(t, err)
	_, err = fmt.Sscan(string(out), &bytes)
	check(t, err)
	return bytes
}

// TestImportImageRead measures, with nothing of a store in memory, how long it takes to read
// all files, to list them, and to start a program on an overlay mount of an image's
// layers: in a directory store and in a store image, in turn.
func TestImportImageRead(t *testing.T) {
	testenv.NeedRoot(t)
	s := importSetOf(t, "60")
	dir := fresh(t)
	store, file, point := filepath.Join(dir, "store"), filepath.Join(dir, "store.erofs"), filepath.Join(t.TempDir(), "image")
	check(t, os.Mkdir(point, 0o700))
	s.importInto(t, store)
	s.imageInto(t, file)
	attach := map[string][]string{
		"directory":   nil,
		"loop":        {"-t", "erofs", "-o", "ro,loop", file, point},
		"file-backed": {"-t", "erofs", "-o", "ro", file, point},
	}
	for _, what := range []struct{ name, script string }{
		{"read", `find "$1" -type f -print0 | xargs -0 cat > /dev/null`},
		{"list", `find "$1" -newermt 2100-01-01 > /dev/null`},
		{"start", startScript},
	} {
		took := make(map[string][]float64)
		for range 3 {
			for _, form := range []string{"directory", "loop", "file-backed"} {
				cold(t, dir)
				root := store
				if args := attach[form]; args != nil {
					root = point
					measure(t, exec.Command("mount", args...))
				}
				u := measure(t, exec.Command("sh", "-ec", what.script, "sh", root, t.TempDir()))
				took[form] = append(took[form], u.wall.Seconds())
				if root == point {
					measure(t, exec.Command("umount", point))
				}
			}
		}
		median := func(form string) float64 { return slices.Sorted(slices.Values(took[form]))[1] }
		t.Logf("%-5s directory %v, loop %v (%.2f), file-backed %v (%.2f) | load %s", what.name, took["directory"],
			took["loop"], median("loop")/median("directory"), took["file-backed"], median("file-backed")/median("directory"), load(t))
	}
}

// startScript starts Python from the layers of an image that has it, as a container
// would, but for the C library: Debian does not count it among what a base must have.
const startScript = `
python=$(find "$1"/overlay/*/diff/usr/bin -maxdepth 1 -name 'python3.*[0-9]' | head -n 1)
layer=${python%/diff/usr/bin/*}
lower=$(sed "s|l/|$1/overlay/l/|g" "$layer/lower")
mkdir "$2/upper" "$2/work" "$2/merged"
mount -t overlay -o "lowerdir=$layer/diff:$lower,upperdir=$2/upper,workdir=$2/work" overlay "$2/merged"
PYTHONHOME="$2/merged/usr" PYTHONDONTWRITEBYTECODE=1 "$2/merged${python#"$layer/diff"}" -c 'import json, http.server, email, asyncio, sys
assert json.__file__.startswith(sys.argv[1])' "$2/merged" || rc=$?
umount "$2/merged"
exit "${rc:-0}"
`

// cold drops what the machine has in memory of the new file system at dir.
func cold(t testing.TB, dir string) {
	t.Helper()
	output := func(name string, args ...string) string {
		out, err := exec.Command(testenv.NeedTool(t, name), args...).Output()
		check(t, err)
		return strings.TrimSpace(string(out))
	}
	source := func() string { return output("findmnt", "-n", "-o", "SOURCE", dir) }
	backing := output("losetup", "-n", "-O", "BACK-FILE", source())
	// A mount from a file lets go of it some time after it is gone.
	for range 300 {
		if _, _, err := run(exec.Command("umount", dir)); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	measure(t, exec.Command("mount", "-o", "loop", backing, dir))
	measure(t, exec.Command("losetup", "--direct-io=on", source()))
}
