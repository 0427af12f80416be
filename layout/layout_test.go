package layout_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/memtest"
	"github.com/nodeseal/nodeseal/layout"
)

func create(t *testing.T) (*layout.Dir, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "layout")
	l, err := layout.Create(root)
	if err != nil {
		t.Fatal(err)
	}
	return l, root
}

func TestPutAndRead(t *testing.T) {
	t.Parallel()
	l, root := create(t)
	data := []byte("content")
	d, err := l.PutBytes(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.ReadBlob(d, 100)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := l.ReadBlob(d, 3); !errors.Is(err, layout.ErrSize) {
		t.Errorf("a blob over the limit: %v", err)
	}
	if _, err := l.Open(digest.FromString("other")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a blob that is not there: %v", err)
	}
	again, err := layout.Open(root)
	if err != nil || !again.Has(d) {
		t.Errorf("opened again: %v", err)
	}
	blobs, err := l.Blobs()
	if err != nil || len(blobs) != 1 || blobs[0] != d {
		t.Errorf("blobs %v, %v", blobs, err)
	}
	if err := errors.Join(l.Remove(d), l.Remove(d)); err != nil || l.Has(d) {
		t.Errorf("removed twice: %v", err)
	}
}

// A blob never has its name while its bytes are not the digest's.
func TestPutRefuses(t *testing.T) {
	t.Parallel()
	d := digest.FromString("content")
	errRead := errors.New("gone")
	for name, c := range map[string]struct {
		r    io.Reader
		size int64
		want error
	}{
		"other bytes":   {strings.NewReader("Content"), 7, layout.ErrDigest},
		"too many":      {strings.NewReader("content!"), 7, layout.ErrSize},
		"too few":       {strings.NewReader("conten"), 7, layout.ErrSize},
		"wrong size":    {strings.NewReader("content"), 8, layout.ErrSize},
		"reader breaks": {io.MultiReader(strings.NewReader("con"), iotest.ErrReader(errRead)), 7, errRead},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, root := create(t)
			if err := l.Put(t.Context(), d, c.size, c.r); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			left, err := filepath.Glob(filepath.Join(root, "blobs", "sha256", "*"))
			if err != nil || len(left) > 0 || l.Has(d) {
				t.Errorf("left behind: %q, %v", left, err)
			}
		})
	}
}

// A blob that rots on the disk is not returned.
func TestReadNoticesRot(t *testing.T) {
	t.Parallel()
	l, root := create(t)
	d, err := l.PutBytes(t.Context(), []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, layout.BlobPath(d))
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte("CONTENT"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.ReadBlob(d, 100); !errors.Is(err, layout.ErrDigest) {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if _, err := layout.Open(root); !errors.Is(err, layout.ErrNotLayout) {
		t.Errorf("an empty directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(root, "oci-layout"), []byte(`{"imageLayoutVersion":"9"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := layout.Open(root); !errors.Is(err, layout.ErrNotLayout) {
		t.Errorf("another version: %v", err)
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	l, _ := create(t)
	want := v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1}
	if err := l.SetIndex(v1.Index{Manifests: []v1.Descriptor{want}}); err != nil {
		t.Fatal(err)
	}
	index, err := l.Index()
	if err != nil || len(index.Manifests) != 1 || index.Manifests[0].Digest != want.Digest || index.SchemaVersion != 2 {
		t.Errorf("%+v, %v", index, err)
	}
}

// The Verifier gives the same verdict however its source cuts the bytes.
func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:x","annotations":{"a":"b"}}]}`))
	f.Add(memtest.Repeat(1<<20, `{"manifests":[`, `{"platform":{}},`, `{}]}`))
	f.Add(memtest.Repeat(1<<20, `{"annotations":{`, `"":"",`, `"":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		memtest.Hold(t, 16*int64(len(data))+32<<20, func() { _, _ = layout.ParseIndex(bytes.NewReader(data)) })
	})
}

func FuzzVerifier(f *testing.F) {
	f.Add([]byte("content"), int64(7), true)
	f.Add([]byte(""), int64(0), true)
	f.Add([]byte("content"), int64(6), false)
	f.Fuzz(func(t *testing.T, data []byte, size int64, right bool) {
		d := digest.FromString("something else")
		if right {
			d = digest.FromBytes(data)
		}
		want := right && (size < 0 || size == int64(len(data)))
		for _, r := range []io.Reader{bytes.NewReader(data), iotest.OneByteReader(bytes.NewReader(data)), iotest.DataErrReader(bytes.NewReader(data))} {
			got, err := io.ReadAll(layout.NewVerifier(r, d, size))
			if (err == nil) != want {
				t.Fatalf("size %d of %d, right %v: %v", size, len(data), right, err)
			}
			if size >= 0 && int64(len(got)) > size {
				t.Fatalf("%d bytes, more than %d", len(got), size)
			}
		}
	})
}
