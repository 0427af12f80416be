package archive_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/bundle/split"
)

// written is the bundle of s.
func written(t testing.TB, s *sample, enc *seekable.Encoder) *bytes.Buffer {
	t.Helper()
	out := new(bytes.Buffer)
	_, err := archive.Write(t.Context(), out, &s.inv, s, enc, nil)
	must(t, err)
	return out
}

// splitSample writes the sample bundle whole and in parts.
func splitSample(t *testing.T, size int64) (whole []byte, path string) {
	t.Helper()
	whole = writeSample(t, 2, 100<<10)
	path = filepath.Join(t.TempDir(), "b.tar.zst")
	splitTo(t, path, whole, size)
	return whole, path
}

func splitTo(t *testing.T, path string, data []byte, size int64) {
	t.Helper()
	w, err := split.Create(path, size)
	must(t, err)
	defer w.Close()
	_, err = io.Copy(w, bytes.NewReader(data))
	must(t, err)
	must(t, w.Commit())
}

func TestParts(t *testing.T) {
	t.Parallel()
	whole, path := splitSample(t, 10_000)
	for _, name := range []string{path, path + ".000", path + ".001"} {
		f, size, err := archive.OpenBytes(name)
		must(t, err)
		got, err := io.ReadAll(io.NewSectionReader(f, 0, size))
		must(t, err)
		must(t, f.Close())
		if !bytes.Equal(got, whole) {
			t.Errorf("%s: %d bytes, not the bundle's %d", name, len(got), len(whole))
		}
		b, err := archive.OpenFile(t.Context(), name)
		must(t, err)
		must(t, b.Close())
	}
	list, base, err := split.Find(path + ".000")
	must(t, err)
	if base != path || list.Size != int64(len(whole)) || len(list.Parts) != (len(whole)+9999)/10_000 {
		t.Errorf("%s: %+v", base, list)
	}
	damaged, err := split.Damaged(t.Context(), path)
	if err != nil || len(damaged) != 0 {
		t.Errorf("damage: %v, %v", damaged, err)
	}
}

func TestPartsNameDamage(t *testing.T) {
	t.Parallel()
	_, path := splitSample(t, 10_000)
	part := split.PartName(path, 1)
	data, err := os.ReadFile(part)
	must(t, err)
	data[77] ^= 1
	must(t, os.WriteFile(part, data, 0o600))
	damaged, err := split.Damaged(t.Context(), path)
	must(t, err)
	if len(damaged) != 1 || damaged[0].Part != filepath.Base(part) {
		t.Errorf("a flipped bit: %v", damaged)
	}
	must(t, os.Remove(part))
	must(t, os.Truncate(split.PartName(path, 2), 5))
	_, _, err = archive.OpenBytes(path)
	if !errors.Is(err, bundle.ErrDamaged) || !strings.Contains(err.Error(), ".001: it is missing") || !strings.Contains(err.Error(), ".002: 5 bytes") {
		t.Errorf("a missing and a short part: %v", err)
	}
	must(t, os.Remove(path+split.Suffix))
	var bad *split.Error
	if _, _, err = archive.OpenBytes(path + ".000"); !errors.As(err, &bad) {
		t.Errorf("no list: %v", err)
	}
}

// A new bundle in fewer parts leaves none of the old ones.
func TestPartsReplace(t *testing.T) {
	t.Parallel()
	whole, path := splitSample(t, 3_000)
	splitTo(t, path, whole, 20_000)
	left, err := filepath.Glob(path + "*")
	must(t, err)
	if want := (len(whole)+19_999)/20_000 + 1; len(left) != want {
		t.Errorf("%d files, want %d: %q", len(left), want, left)
	}
}

// What was not committed leaves nothing.
func TestPartsClose(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "b.tar.zst")
	w, err := split.Create(path, 10)
	must(t, err)
	_, err = w.Write(make([]byte, 95))
	must(t, err)
	must(t, w.Close())
	if left, _ := filepath.Glob(path + "*"); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	_, err = w.Write(make([]byte, 10*split.MaxParts))
	if err == nil {
		t.Error("more parts than there are numbers")
	}
	must(t, w.Close())
}
