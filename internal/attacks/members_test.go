//go:build attacks

package attacks

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
)

// members is a layer of n members, each of which member fills.
func members(t *testing.T, n int, member func(i int, h *tar.Header)) content {
	return func() io.Reader {
		r, w := io.Pipe()
		t.Cleanup(func() { r.Close() })
		go func() {
			tw := tar.NewWriter(w)
			var err error
			for i := 0; i < n && err == nil; i++ {
				h := &tar.Header{Typeflag: tar.TypeReg, Mode: 0o755}
				member(i, h)
				err = tw.WriteHeader(h)
			}
			if err == nil {
				err = tw.Close()
			}
			w.CloseWithError(err)
		}()
		return r
	}
}

// staged bundles the images of r from a registry.
func (r *release) staged(t *testing.T, a attack, args ...string) {
	t.Helper()
	host, conf := registry(t, nil, func(w http.ResponseWriter, path string) bool {
		blob, ok := r.blobs[digest.Digest(path[strings.LastIndex(path, "/")+1:])]
		if !ok {
			return false
		}
		if strings.Contains(path, "/manifests/") {
			w.Header().Set("Content-Type", v1.MediaTypeImageManifest)
		}
		_, _ = io.Copy(w, blob())
		return true
	})
	var list bytes.Buffer
	for i, img := range r.inv.Images {
		fmt.Fprintf(&list, "%s/a/image-%d@%s\n", host, i, img.Digest)
	}
	dir := t.TempDir()
	a.run(t, append([]string{"bundle", "--images", write(t, "images.lst", list.String()), "--registries-conf", conf,
		"--work", filepath.Join(dir, "work"), "-o", filepath.Join(dir, "x.tar.zst")}, args...)...)
}

// TestManyMembers has layers of very many members, read in parallel.
func TestManyMembers(t *testing.T) {
	name := func(command string) string { return "memory: 4 layers of 250,000 files each, 8 jobs: " + command }
	r := newRelease(bundle.Expanded, seekable.FrameSize)
	for layer := range 4 {
		r.add(t, members(t, 250_000, func(i int, h *tar.Header) {
			h.Name = fmt.Sprintf("%d/%d/file-%d", layer, i/1000, i)
		}), nil, 0)
	}
	r.staged(t, attack{Name: name("bundle"), Before: "exit 0, 232 MiB"}, "--jobs", "8")
	path := r.write(t)
	attack{Name: name("verify"), Before: "not tried"}.run(t, "verify", path)
	attack{Name: name("import into an image"), Before: "not tried"}.
		run(t, "import", path, "--jobs", "8", "--image-out", filepath.Join(t.TempDir(), "x.erofs"))
}

// TestLongRecords has directories and links whose pax records are long: little of them is kept.
func TestLongRecords(t *testing.T) {
	comment := strings.Repeat("x", 1<<20-4096)
	r := newRelease(bundle.Expanded, seekable.FrameSize)
	r.add(t, members(t, 600, func(i int, h *tar.Header) {
		h.Format = tar.FormatPAX
		h.Name = fmt.Sprintf("%0101d", i) // longer than the place in a header
		h.PAXRecords = map[string]string{"comment": comment, "SCHILY.xattr.user.x": "y"}
		if h.Typeflag = tar.TypeDir; i%2 == 1 {
			h.Typeflag, h.Linkname = tar.TypeSymlink, fmt.Sprintf("%0101d", i)
			delete(h.PAXRecords, "SCHILY.xattr.user.x")
		}
	}), nil, 0)
	name := func(command string) string { return "memory: 600 members with pax records of 1 MiB: " + command }
	r.staged(t, attack{Name: name("bundle"), Before: "exit 0, 723 MiB"})
	path := r.write(t)
	dir := t.TempDir()
	attack{Name: name("verify"), Before: "exit 0, 909 MiB"}.run(t, "verify", path)
	attack{Name: name("import into an image"), Before: "exit 0, 659 MiB"}.
		run(t, "import", path, "--image-out", filepath.Join(dir, "x.erofs"))
	store := filepath.Join(dir, "store")
	attack{Name: name("import"), Before: "exit 0, 658 MiB"}.run(t, "import", path, "--no-seal", "--store", store)
	attack{Name: name("verify of the store"), Before: "exit 0, 1015 MiB"}.run(t, "verify", store)
}
