package layertar

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"
)

// layer writes a layer's directory and tar-split file and returns them with the
// tar that they come from.
func layer(t *testing.T) (split, diff string, plain []byte) {
	t.Helper()
	dir := t.TempDir()
	split, diff = filepath.Join(dir, "split.gz"), filepath.Join(dir, "diff")
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "d/file", Mode: 0o644, Size: 100_000},
		{Typeflag: tar.TypeSymlink, Name: "abs", Linkname: "/d"},
		{Typeflag: tar.TypeReg, Name: "abs/through", Mode: 0o644, Size: 5},
		{Typeflag: tar.TypeReg, Name: "empty", Mode: 0o600},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		data := bytes.Repeat([]byte("x"), int(h.Size))
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(diff, h.Name)
		switch {
		case h.Typeflag == tar.TypeDir:
			check(t, os.MkdirAll(path, 0o755))
		case h.Typeflag == tar.TypeSymlink:
			check(t, os.Symlink(h.Linkname, path))
		case h.Name == "abs/through":
			check(t, os.WriteFile(filepath.Join(diff, "d/through"), data, 0o644))
		default:
			check(t, os.WriteFile(path, data, 0o644))
		}
	}
	check(t, w.Close())
	f, err := os.Create(split)
	check(t, err)
	z := gzip.NewWriter(f)
	in, done, err := asm.NewInputTarStreamWithDone(bytes.NewReader(buf.Bytes()), storage.NewJSONPacker(z), storage.NewDiscardFilePutter())
	check(t, err)
	_, err = io.Copy(io.Discard, in)
	check(t, err)
	check(t, <-done)
	check(t, z.Close())
	check(t, f.Close())
	return split, diff, buf.Bytes()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func rebuild(t *testing.T, split, diff string, want []byte) ([]byte, error) {
	l, err := Open(split, diff)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var out bytes.Buffer
	err = l.WriteTo(t.Context(), &out, digest.FromBytes(want), int64(len(want)))
	return out.Bytes(), err
}

func TestWriteTo(t *testing.T) {
	t.Parallel()
	split, diff, plain := layer(t)
	got, err := rebuild(t, split, diff, plain)
	if err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%d bytes, %v, want %d", len(got), err, len(plain))
	}
}

// TestChanged changes files of the layer: the tar is never whole then.
func TestChanged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(diff string) error{
		"content": func(diff string) error { return os.WriteFile(filepath.Join(diff, "d/through"), []byte("other"), 0o644) },
		"length":  func(diff string) error { return os.WriteFile(filepath.Join(diff, "d/through"), []byte("x"), 0o644) },
		"missing": func(diff string) error { return os.Remove(filepath.Join(diff, "d/file")) },
		"outside": func(diff string) error {
			path := filepath.Join(diff, "d/file")
			return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			split, diff, plain := layer(t)
			check(t, change(diff))
			if got, err := rebuild(t, split, diff, plain); err == nil || len(got) >= len(plain) {
				t.Errorf("%d of %d bytes, error %v", len(got), len(plain), err)
			}
		})
	}
	split, diff, plain := layer(t)
	other := append(bytes.Clone(plain[:len(plain)-1]), 'x')
	if got, err := rebuild(t, split, diff, other); !errors.Is(err, ErrDigest) || len(got) >= len(plain) {
		t.Errorf("another digest: %d of %d bytes, error %v", len(got), len(plain), err)
	}
	if _, err := Open(split+".missing", diff); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no tar-split: %v", err)
	}
	if _, err := Open(split, diff+".missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}
