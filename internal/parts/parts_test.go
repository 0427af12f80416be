package parts_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/parts"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// emptyBundle writes a bundle without images, and a signature of no meaning.
func emptyBundle(t *testing.T) (path string, content []byte) {
	t.Helper()
	enc, err := seekable.NewEncoder(0, 1)
	check(t, err)
	var out bytes.Buffer
	inv := bundle.Inventory{Format: bundle.FormatV1, Layers: bundle.Expanded, Encoder: enc.Name(), Release: &bundle.Release{}}
	for i := range 40 { // which does not compress
		inv.Release.Version += digest.FromString(strconv.Itoa(i)).Encoded()
	}
	_, err = archive.Write(t.Context(), &out, &inv, nil, enc, nil)
	check(t, err)
	path = filepath.Join(t.TempDir(), "b.tar.zst")
	check(t, errors.Join(os.WriteFile(path, out.Bytes(), 0o600), os.WriteFile(path+".sig", []byte("sig"), 0o600)))
	return path, out.Bytes()
}

// TestThereAndBack holds that a bundle that was split and joined is the same, that an
// interrupted run leaves no bundle, and that what a killed one left is written over.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	path, content := emptyBundle(t)
	dir, back := t.TempDir(), t.TempDir()
	ctx, stop := context.WithCancelCause(t.Context())
	_, err := parts.Split(ctx, parts.Options{Bundle: path, Dir: dir, Progress: func(progress.Event) { stop(io.ErrClosedPipe) }}, 100)
	if left := namesIn(dir); !errors.Is(err, io.ErrClosedPipe) || len(left) != 0 {
		t.Fatalf("interrupted: %v, left %q", err, left)
	}
	// A run that was killed while it gave names: some parts, no list, and the signature.
	for _, name := range []string{"b.tar.zst.000", "b.tar.zst.777", "b.tar.zst.001.partial"} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o600))
	}
	check(t, os.WriteFile(filepath.Join(dir, "b.tar.zst.sig"), []byte("sig"), 0o600))
	res, err := parts.Split(t.Context(), parts.Options{Bundle: path, Dir: dir}, 100)
	check(t, err)
	if want := (len(content) + 99) / 100; res.Parts != want || len(namesIn(dir)) != want+2 {
		t.Errorf("%d parts of %d bytes: %q", res.Parts, len(content), namesIn(dir))
	}
	joined, err := parts.Join(t.Context(), parts.Options{Bundle: filepath.Join(dir, "b.tar.zst.001"), Dir: back})
	check(t, err)
	got, err := os.ReadFile(joined.Path)
	if err != nil || !bytes.Equal(got, content) || joined.SHA256 != res.SHA256 {
		t.Errorf("joined: %d bytes, %v", len(got), err)
	}
}

// TestRefused holds that nothing is written if something else is there or something is wrong.
func TestRefused(t *testing.T) {
	t.Parallel()
	path, _ := emptyBundle(t)
	pipe := filepath.Join(t.TempDir(), "p.tar.zst")
	check(t, syscall.Mkfifo(pipe, 0o600))
	linked := filepath.Join(t.TempDir(), "b.tar.zst")
	check(t, os.Link(path, linked))
	check(t, os.Symlink(path+".sig", linked+".sig"))
	foreign := t.TempDir()
	check(t, os.WriteFile(filepath.Join(foreign, "b.tar.zst.sig"), []byte("other"), 0o600))
	for name, c := range map[string]struct {
		from, dir string
		size      int64
		want      error
	}{
		"more than 1000 parts":       {path, t.TempDir(), 1, parts.ErrMany},
		"one file":                   {path, t.TempDir(), 0, parts.ErrOne},
		"beside it":                  {path, filepath.Dir(path), 100, parts.ErrDir},
		"another's signature":        {path, foreign, 100, parts.ErrDir},
		"a link for a signature":     {linked, t.TempDir(), 100, safefile.ErrNotRegular},
		"a pipe for a bundle":        {pipe, t.TempDir(), 100, safefile.ErrNotRegular},
		"a directory that is absent": {path, filepath.Join(t.TempDir(), "x"), 100, os.ErrNotExist},
	} {
		before := len(namesIn(c.dir))
		_, err := parts.Plan(t.Context(), parts.Options{Bundle: c.from, Dir: c.dir}, c.size)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: a plan: %v", name, err)
		}
		if c.size == 0 {
			_, err = parts.Join(t.Context(), parts.Options{Bundle: c.from, Dir: c.dir})
		} else {
			_, err = parts.Split(t.Context(), parts.Options{Bundle: c.from, Dir: c.dir}, c.size)
		}
		if !errors.Is(err, c.want) || len(namesIn(c.dir)) != before {
			t.Errorf("%s: %v, %d files", name, err, len(namesIn(c.dir)))
		}
	}
}

func namesIn(dir string) (out []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
