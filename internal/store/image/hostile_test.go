package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/opencontainers/go-digest"
)

// hostile are layers that are refused, by the same rules as in a directory.
func hostile(t testing.TB) map[string][]byte {
	tarOf := func(e ...storetest.Entry) []byte { return storetest.Tar(t, e...) }
	file, link, symlink, folder := storetest.File, storetest.Link, storetest.Symlink, storetest.Dir
	return map[string][]byte{
		"name up":                  tarOf(file("../canary", "x")),
		"whiteout up":              tarOf(file("../.wh.canary", "")),
		"opaque up":                tarOf(file("../.wh..wh..opq", "")),
		"whiteout of nothing":      tarOf(file(".wh.", "")),
		"whiteout of dots":         tarOf(file("d/.wh...", "")),
		"whiteout of a sibling":    tarOf(file("a", "x"), file(".wh.a", "")),
		"link up":                  tarOf(link("a", "../canary")),
		"link to a host file":      tarOf(link("a", "/etc/passwd")),
		"link to nothing":          tarOf(link("a", "")),
		"link to a directory":      tarOf(folder("d"), link("a", "d")),
		"link to itself":           tarOf(file("/a", "x"), link("a", "a")),
		"link below what it takes": tarOf(file("d/a", "x"), link("d", "d/a")),
		"through a link out":       tarOf(symlink("out", "../.."), file("out/canary", "x"), link("c", "out/../canary2")),
		"through an absolute link": tarOf(symlink("out", "/proc/self/root/etc"), file("out/passwd", "x")),
		"through a loop":           tarOf(symlink("l", "l"), file("l/a", "x")),
		"through a file":           tarOf(file("f", "x"), file("f/a", "x")),
		"root is a file":           tarOf(symlink("/", "x")),
		"same path twice":          tarOf(file("a", "1"), file("./a", "2")),
		"name of 256 bytes":        tarOf(file(strings.Repeat("n", 256), "x")),
		"path of 5000 bytes":       tarOf(file(strings.Repeat("d/", 2500)+"f", "x")),
		"link of 4096 bytes":       tarOf(symlink("l", strings.Repeat("d/", 2048))),
		"unknown type":             tarOf(storetest.Entry{Header: tar.Header{Typeflag: tar.TypeCont, Name: "c"}}),
		"user attribute of a link": tarOf(symlink("l", "x").Xattr("user.a", "b")),
		"attribute without a name": tarOf(file("l", "x").Xattr("user.", "b")),
		"attribute too long":       tarOf(file("l", "x").Xattr("user.a", strings.Repeat("x", 1<<16+1))),
		"broken capability":        tarOf(file("l", "x").Xattr("security.capability", "nonsense")),
		"broken access list":       tarOf(file("l", "x").Xattr("system.posix_acl_access", "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff")),
		"short access list":        tarOf(file("l", "x").Xattr("system.posix_acl_access", "\x02\x00")),
		"not a tar":                bytes.Repeat([]byte("no tar"), 500),
		"cut header":               tarOf(file("a", "x"))[:300],
		"cut content":              tarOf(file("a", strings.Repeat("x", 5000)))[:2000],
	}
}

// TestHostile wants the same error as from a directory import, word for word but for
// what was being done.
func TestHostile(t *testing.T) {
	needEROFS(t)
	for name, layer := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			src := storetest.NewSource(t, bundle.Expanded)
			src.Add(storetest.Image{Repository: "quay.io/a/b", Layers: [][]byte{layer}})
			parent := t.TempDir()
			_, want := dir.Import(t.Context(), src, filepath.Join(parent, "store"), store.ImportOptions{})
			_, got := image.Import(t.Context(), src, filepath.Join(parent, "store.erofs"), store.ImportOptions{})
			if !errors.Is(got, store.ErrDamaged) || !errors.Is(want, store.ErrDamaged) || cause(got) != cause(want) {
				t.Errorf("error %v, want %v", got, want)
			}
			wantNothing(t, parent)
		})
	}
}

// TestNoDevices refuses device nodes where they are not wanted.
func TestNoDevices(t *testing.T) {
	needEROFS(t)
	src := storetest.NewSource(t, bundle.Expanded)
	src.Add(storetest.Image{Repository: "quay.io/a/b", Layers: [][]byte{storetest.Tar(t, storetest.Device("null", 1, 3))}})
	parent := t.TempDir()
	_, err := image.Import(t.Context(), src, filepath.Join(parent, "store.erofs"), store.ImportOptions{NoDevices: true})
	if !errors.Is(err, extract.ErrDevice) || !errors.Is(err, store.ErrDamaged) {
		t.Errorf("error %v", err)
	}
	wantNothing(t, parent)
}

// cause is the last part of an error: what the kernel or the rule says.
func cause(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	return text[strings.LastIndex(text, ": ")+1:]
}

func wantNothing(t *testing.T, parent string) {
	t.Helper()
	if left, _ := os.ReadDir(parent); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

// brokenSource calls at for what is read of layers, and fails with its error.
type brokenSource struct {
	*storetest.Source
	at func(n int) error
}

func (s brokenSource) OpenLayerUnverified(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	r, err := s.Source.OpenLayerUnverified(ctx, d)
	return &brokenReader{ReadCloser: r, at: s.at}, err
}

type brokenReader struct {
	io.ReadCloser
	n  int
	at func(n int) error
}

func (r *brokenReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b[:min(len(b), 1000)])
	r.n += n
	if aerr := r.at(r.n); aerr != nil {
		return 0, aerr
	}
	return n, err
}

func TestSourceFails(t *testing.T) {
	needEROFS(t)
	for _, form := range []bundle.LayerForm{bundle.Expanded, bundle.Original} {
		src := storetest.NewSource(t, form)
		storetest.Images(t, src)
		parent := t.TempDir()
		path := filepath.Join(parent, "store.erofs")
		stick := errors.New("stick was pulled out")
		_, err := image.Import(t.Context(), brokenSource{src, func(n int) error {
			if n > 5_000 {
				return stick
			}
			return nil
		}}, path, store.ImportOptions{})
		var place *store.Error
		if !errors.Is(err, stick) || errors.Is(err, store.ErrDamaged) || !errors.As(err, &place) || place.Digest == "" || place.Image == "" {
			t.Errorf("error %v", err)
		}
		wantNothing(t, parent)
		ctx, cancel := context.WithCancel(t.Context())
		_, err = image.Import(ctx, brokenSource{src, func(n int) error {
			if n > 5_000 {
				cancel()
			}
			return nil
		}}, path, store.ImportOptions{})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		wantNothing(t, parent)
		importImage(t, src, path, 0)
		if _, err := image.Import(t.Context(), src, path, store.ImportOptions{}); !errors.Is(err, store.ErrExists) {
			t.Errorf("a second import: %v", err)
		}
		cancel()
	}
}

// TestTableLies has file tables that are not the layers'.
func TestTableLies(t *testing.T) {
	needEROFS(t)
	const sum = sha256.Size
	for name, change := range map[string]func([]byte) []byte{
		// The last two entries are of one size: were they believed, the files would share a place.
		"another file's content": func(b []byte) []byte {
			copy(b[len(b)-sum:], sum256("content"))
			return b
		},
		"content of two files that is none's": func(b []byte) []byte {
			for _, of := range []string{"content", "CONTENT"} {
				copy(b[bytes.Index(b, sum256(of)):], sum256("neither"))
			}
			return b
		},
		"cut":      func(b []byte) []byte { return b[:len(b)-40] },
		"no table": func([]byte) []byte { return []byte("nonsense") },
		"nothing":  func([]byte) []byte { return nil },
	} {
		src := lyingTables(t, change)
		parent := t.TempDir()
		if _, err := image.Import(t.Context(), src, filepath.Join(parent, "store.erofs"), store.ImportOptions{}); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: error %v", name, err)
		}
		wantNothing(t, parent)
	}
}

// TestTableLiesAlone has a table with a wrong digest that no other file has: nothing
// is shared by it, and the image has what the layer has.
func TestTableLiesAlone(t *testing.T) {
	needEROFS(t)
	path := filepath.Join(t.TempDir(), "store.erofs")
	importImage(t, lyingTables(t, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), path, 0)
	fsck(t, path)
	point := mount(t, path)
	for name, want := range map[string]string{"a": "content", "b": "CONTENT"} {
		found, err := filepath.Glob(filepath.Join(point, "overlay", "*", "diff", name))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %v, %v", name, found, err)
		}
		if got, err := os.ReadFile(found[0]); err != nil || string(got) != want {
			t.Errorf("%s holds %q, want %q (%v)", name, got, want, err)
		}
	}
}

// lyingTables is a source of one layer whose file table was changed.
func lyingTables(t *testing.T, change func([]byte) []byte) *storetest.Source {
	t.Helper()
	src := storetest.NewSource(t, bundle.Expanded)
	src.Add(storetest.Image{Repository: "quay.io/a/b", Layers: [][]byte{storetest.Tar(t, storetest.File("a", "content"), storetest.File("b", "CONTENT"))}})
	for _, b := range src.Inventory().Blobs {
		if b.Kind == bundle.KindFileTable {
			src.LieTable(b.Digest, change)
		}
	}
	return src
}

func sum256(content string) []byte {
	sum := sha256.Sum256([]byte(content))
	return sum[:]
}
