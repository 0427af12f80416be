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
	"github.com/nodeseal/nodeseal/bundle/layerrules"
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
var large = flag.Bool("large", false, "run also what takes long: TestLargeLayers with layers of as many members as are allowed, more than an hour")

const (
	// most is how many members of the largest layer there are.
	most = layerrules.MaxMembers
	// mostBelow are those of one that has a directory for each thousand, which counts, too.
	mostBelow = most * 1000 / 1001
	// mostDirectories and mostLinks are as many as layerrules.MaxMemory lets be.
	mostDirectories, mostLinks = 1_440_000, 1_080_000
)

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
	"files":                  {mostBelow, func(i int, h *tar.Header) { h.Name = fmt.Sprintf("%d/%d", i/1000, i) }},
	"files in one directory": {most, func(i int, h *tar.Header) { h.Name = fmt.Sprint(i) }},
	"files with names of 200 bytes": {1_000_000, func(i int, h *tar.Header) {
		h.Name = fmt.Sprintf("%d/%0200d", i/1000, i)
	}},
	"directories": {mostDirectories, func(i int, h *tar.Header) { h.Typeflag, h.Name = tar.TypeDir, fmt.Sprintf("%d/%d", i/1000, i) }},
	"hard links": {mostBelow, func(i int, h *tar.Header) {
		if h.Name = fmt.Sprintf("%d/%d", i/1000, i); i%2 == 1 {
			h.Typeflag, h.Linkname = tar.TypeLink, fmt.Sprintf("%d/%d", (i-1)/1000, i-1)
		}
	}},
	"symbolic links": {mostLinks, func(i int, h *tar.Header) {
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
				t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
					attack{Name: fmt.Sprintf("memory: a layer of %d %s: %s", l.n, kind, c.name), Before: "not tried"}.run(t, c.args...)
				})
			}
		})
	}
	if *large {
		t.Run("one-more-than-allowed", tooMany)
	}
}

// tooMany has a layer of one hard link more than the rules allow: where a bundle is
// made, where it is checked, and on the node the message names the layer, the count and the bound.
func tooMany(t *testing.T) {
	r := newRelease(bundle.Expanded, seekable.FrameSize)
	r.add(t, members(t, most+1, func(i int, h *tar.Header) {
		if h.Name = fmt.Sprint(i); i > 0 {
			h.Typeflag, h.Linkname = tar.TypeLink, "0"
		}
	}), nil, 0)
	layer := r.inv.Images[0].Layers[0].DiffID.String()
	of := func(command string, exit int) attack {
		return attack{
			Name: fmt.Sprintf("bombs: a layer of %d hard links, one more than allowed: %s", most, command), Before: "not tried",
			Exit: exit, Says: fmt.Sprintf(", at most %d are allowed", most),
			After: func(t *testing.T, o outcome) {
				for _, want := range []string{layer, fmt.Sprintf("at least %d ", most+1)} {
					if !strings.Contains(o.Stdout+o.Stderr, want) {
						t.Errorf("it does not say %q:\n%s%s", want, o.Stdout, o.Stderr)
					}
				}
			},
		}
	}
	r.staged(t, of("bundle", 1))
	path := r.write(t)
	of("verify", 4).run(t, "verify", path)
	dir := inMemory(t)
	of("import", 4).run(t, "import", path, "--no-seal", "--store", filepath.Join(dir, "store"))
	of("import into an image", 4).run(t, "import", path, "--image-out", filepath.Join(dir, "x.erofs"))
}
