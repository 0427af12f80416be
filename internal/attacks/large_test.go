//go:build attacks

package attacks

import (
	"archive/tar"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
)

// inMemory is a directory on a file system in memory: millions of files are made and
// removed in it in seconds.
func inMemory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8g,nr_inodes=0"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// large has layers of up to as many members as the rules allow, too.
var large = flag.Bool("large", false, "run TestLargeLayers with layers of up to 2,000,000 members, too: more than an hour")

// mixed is what runs without large.
const mixed = "files with links and directories"

// largeLayers are layers of so many members that what is kept of each decides.
var largeLayers = map[string]struct {
	n      int
	member func(i int, h *tar.Header)
}{
	mixed: {600_000, func(i int, h *tar.Header) {
		h.Name = fmt.Sprintf("%d/%d", i/1000, i)
		switch i % 8 {
		case 0:
			h.Typeflag = tar.TypeDir
		case 1:
			h.Typeflag, h.Linkname = tar.TypeSymlink, fmt.Sprint(i+1)
		case 3, 5:
			h.Typeflag, h.Linkname = tar.TypeLink, fmt.Sprintf("%d/%d", (i-1)/1000, i-1)
		}
	}},
	"files":                  {2_000_000, func(i int, h *tar.Header) { h.Name = fmt.Sprintf("%d/%d", i/1000, i) }},
	"files in one directory": {2_000_000, func(i int, h *tar.Header) { h.Name = fmt.Sprint(i) }},
	"files with names of 200 bytes": {1_000_000, func(i int, h *tar.Header) {
		h.Name = fmt.Sprintf("%d/%0200d", i/1000, i)
	}},
	"directories": {2_000_000, func(i int, h *tar.Header) { h.Typeflag, h.Name = tar.TypeDir, fmt.Sprintf("%d/%d", i/1000, i) }},
	"hard links": {2_000_000, func(i int, h *tar.Header) {
		if h.Name = fmt.Sprintf("%d/%d", i/1000, i); i%2 == 1 {
			h.Typeflag, h.Linkname = tar.TypeLink, fmt.Sprintf("%d/%d", (i-1)/1000, i-1)
		}
	}},
	"symbolic links": {2_000_000, func(i int, h *tar.Header) {
		h.Typeflag, h.Name, h.Linkname = tar.TypeSymlink, fmt.Sprintf("%d/%d", i/1000, i), fmt.Sprintf("../%d", i)
	}},
	"files with an attribute of their own each": {400_000, func(i int, h *tar.Header) {
		h.Name = fmt.Sprintf("%d/%d", i/1000, i)
		h.PAXRecords = map[string]string{"SCHILY.xattr.user.x": fmt.Sprintf("%020d", i)}
	}},
}

// TestLargeLayers has one layer of so many members that what is kept of each decides.
func TestLargeLayers(t *testing.T) {
	for kind, l := range largeLayers {
		if kind != mixed && !*large {
			continue
		}
		t.Run(strings.ReplaceAll(kind, " ", "-"), func(t *testing.T) {
			r := newRelease(bundle.Expanded, seekable.FrameSize)
			r.add(t, members(t, l.n, l.member), nil, 0)
			path := r.write(t)
			r.blobs = nil // with the file table
			dir := inMemory(t)
			store, image := filepath.Join(dir, "store"), filepath.Join(dir, "x.erofs")
			for _, c := range []struct {
				name string
				args []string
			}{
				{"verify of the bundle", []string{"verify", path}},
				{"import into an image", []string{"import", path, "--image-out", image}},
				{"verify of the image", []string{"verify", image}},
				{"import", []string{"import", path, "--no-seal", "--store", store}},
				{"verify of the store", []string{"verify", store}},
			} {
				attack{Name: fmt.Sprintf("memory: a layer of %d %s: %s", l.n, kind, c.name), Before: "not tried"}.run(t, c.args...)
			}
		})
	}
}
