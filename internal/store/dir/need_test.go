package dir_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"golang.org/x/sys/unix"
)

// bombs are layers that are short in a bundle of original layers, which does not say how long they
// are unpacked.
func bombs(t *testing.T) map[string][]byte {
	long := storetest.Tar(t, storetest.File("zeros", strings.Repeat("\x00", 200<<20)))
	var claim bytes.Buffer
	w := tar.NewWriter(&claim)
	if err := w.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	var small bytes.Buffer
	w = tar.NewWriter(&small)
	for i := range 30_000 {
		err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("f%d", i), Typeflag: tar.TypeReg, Mode: 0o644, Size: 1})
		if err == nil {
			_, err = w.Write([]byte("x"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"a file of zeros":          long,
		"a file that is not there": claim.Bytes(),
		"small files":              small.Bytes(),
		"zeros behind the end":     append(storetest.Tar(t, storetest.File("a", "a")), make([]byte, 200<<20)...),
	}
}

// TestUnsaidSize imports such layers on a file system of 96 MiB: they are counted before anything is
// unpacked.
func TestUnsaidSize(t *testing.T) {
	testenv.NeedRoot(t)
	at := testenv.NeedFSOfSize(t, "ext4", 96<<20)
	for name, layer := range bombs(t) {
		t.Run(name, func(t *testing.T) {
			src := storetest.NewSource(t, bundle.Original)
			src.Add(storetest.Image{Repository: "quay.io/a/b", Compression: "gzip", Layers: [][]byte{layer}})
			before := used(t, at)
			_, err := dir.Import(t.Context(), src, filepath.Join(at, "store"), store.ImportOptions{})
			var need *store.NeedError
			if !errors.As(err, &need) {
				t.Errorf("error %v, want one about room", err)
			}
			if n := used(t, at) - before; n > 1<<20 {
				t.Errorf("%d bytes were written", n)
			}
			if err := os.RemoveAll(dir.PartialName(filepath.Join(at, "store"))); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// used returns how many bytes of a file system are in use.
func used(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize
}
