package carry

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// options make a bundle without images, signed, and a program that notes how it
// was called.
func options(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	enc, err := seekable.NewEncoder(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "rel.tar.zst")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	inv := bundle.Inventory{Format: bundle.FormatV1, Layers: bundle.Expanded, Encoder: enc.Name(), Release: &bundle.Release{Version: "4.18.<9>"}}
	_, err = archive.Write(t.Context(), out, &inv, nil, enc, nil)
	if err = errors.Join(err, out.Close(), os.WriteFile(path+".sig", []byte("sig"), 0o600)); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, echo(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return Options{Bundle: path, Program: program, Config: []File{{Name: "README.md", Content: []byte("first\n")}}}
}

// echo is a program that prints how it was called.
func echo(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(testenv.NeedTool(t, "echo"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func fill(t *testing.T, dir string, opts Options) *Result {
	t.Helper()
	res, err := Fill(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// tree returns the files below a directory.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func check(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sha256sum", "-c", "--strict", SumsFile)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sha256sum: %v\n%s", err, out)
	}
	path, err := Find(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := archive.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if damaged, err := split.Damaged(t.Context(), path); err != nil || len(damaged) > 0 {
		t.Errorf("parts: %v, %v", damaged, err)
	}
}

// TestFill: all is there, the sums hold, install.sh puts the program in place; as
// one file, in parts, and back, with nothing left over.
func TestFill(t *testing.T) {
	t.Parallel()
	dir, opts := t.TempDir(), options(t)
	res := fill(t, dir, opts)
	want := []string{"README.html", "README.txt", "SHA256SUMS", "config/README.md", "install.sh", "nodeseal", "rel.tar.zst", "rel.tar.zst.sig"}
	if got := tree(t, dir); !slices.Equal(got, want) || !res.Signed || res.Parts != 0 {
		t.Errorf("on the stick: %q, %+v", got, res)
	}
	check(t, dir)
	target := filepath.Join(t.TempDir(), "bin", "nodeseal")
	cmd := exec.CommandContext(t.Context(), "sh", filepath.Join(dir, Script))
	cmd.Env = append(os.Environ(), "TARGET="+target, "ROOT=/slots", "KEY="+filepath.Join(dir, "none"))
	cmd.Stdin = strings.NewReader("yes\n")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "mount --root /slots") || !strings.Contains(string(out), "OK: "+target) {
		t.Errorf("install.sh: %v\n%s", err, out)
	}

	opts.PartSize = 100
	opts.Config[0].Content = []byte("second\n")
	res = fill(t, dir, opts)
	if res.Parts < 2 || res.Parts != int((res.Size+99)/100) || slices.Contains(tree(t, dir), "rel.tar.zst") {
		t.Errorf("in parts: %+v, %q", res, tree(t, dir))
	}
	check(t, dir)
	opts.Bundle = filepath.Join(dir, "rel.tar.zst.000") // from parts, named by one of them
	again := t.TempDir()
	opts.PartSize = 0
	if res = fill(t, again, opts); res.Parts != 0 {
		t.Errorf("from parts: %+v", res)
	}
	check(t, again)
	opts = options(t)
	fill(t, dir, opts)
	if got := tree(t, dir); !slices.Equal(got, want) {
		t.Errorf("in one file again: %q", got)
	}
	check(t, dir)
}

// TestDamaged: a byte that a stick lost is written anew, install.sh refuses it
// before.
func TestDamaged(t *testing.T) {
	t.Parallel()
	dir, opts := t.TempDir(), options(t)
	fill(t, dir, opts)
	damaged := echo(t)
	damaged[len(damaged)-1] ^= 1
	if err := os.WriteFile(filepath.Join(dir, Program), damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", filepath.Join(dir, Script))
	cmd.Env = append(os.Environ(), "TARGET="+filepath.Join(t.TempDir(), "nodeseal"), "KEY="+filepath.Join(dir, "none"))
	cmd.Stdin = strings.NewReader("yes\n")
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("install.sh takes a damaged program:\n%s", out)
	}
	fill(t, dir, opts)
	check(t, dir)
}

// TestInterrupted: ended before each file, the stick says that it is not whole,
// no file has its name before it is, and the next run ends well.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	opts := options(t)
	opts.PartSize = 200
	for stop := 1; ; stop++ {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		cut := opts
		cut.Progress = func(e progress.Event) {
			if e.Kind == progress.Item {
				if n++; n == stop {
					cancel()
				}
			}
		}
		_, err := Fill(ctx, dir, cut)
		cancel()
		if err == nil {
			if stop < 5 {
				t.Errorf("only %d files", stop)
			}
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, SumsFile)); err == nil {
			t.Errorf("stopped at file %d, and the sums are there", stop)
		}
		fill(t, dir, opts)
		check(t, dir)
		for _, name := range tree(t, dir) {
			if strings.HasSuffix(name, ".partial") {
				t.Errorf("%s was left", name)
			}
		}
	}
}

// TestGoesOn: what was written before a kill is not written again, what is wrong
// in it is.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "source")
	data := make([]byte, 3*block+17)
	for i := range data {
		data[i] = byte(i >> 8)
	}
	if err := os.WriteFile(source, data, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	half := slices.Clone(data[:2*block+5])
	half[block+1] ^= 1
	if err := os.WriteFile(filepath.Join(dir, "x.partial"), half, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := safefile.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f := &filler{dir: dir, root: root}
	if _, err := f.put(t.Context(), contentItem("x", 0o644, data)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "x")); err != nil || !slices.Equal(got, data) {
		t.Errorf("differs, %v", err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	dir, opts := t.TempDir(), options(t)
	if err := os.WriteFile(filepath.Join(dir, "old.tar.zst.parts.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Fill(t.Context(), dir, opts); !errors.Is(err, ErrForeign) {
		t.Errorf("another bundle: %v", err)
	}
	root, err := safefile.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f := &filler{dir: dir, root: root}
	if err := f.preflight([]item{{name: "x", size: 1 << 60}}); !errors.Is(err, ErrSpace) {
		t.Errorf("no room: %v", err)
	}
	if _, err := Find(t.Context(), t.TempDir()); !errors.Is(err, ErrNoBundle) {
		t.Errorf("empty: %v", err)
	}
}

// TestPartSize: parts where FAT needs them, and only there.
func TestPartSize(t *testing.T) {
	t.Parallel()
	tests := []struct {
		asked, size int64
		fat         bool
		want        int64 // -1 is refused
	}{
		{0, 20 << 30, false, 0}, {0, 1 << 30, true, 0}, {0, fatPart, true, 0}, {0, fatPart + 1, true, fatPart},
		{0, 20 << 30, true, fatPart}, {1 << 30, 20 << 30, false, 1 << 30}, {8 << 30, 20 << 30, false, 8 << 30},
		{4 << 30, 20 << 30, true, -1}, {1, 1001, false, -1}, {1, 1000, true, 1},
	}
	for _, test := range tests {
		got, err := partSize(test.asked, test.size, test.fat)
		if test.want < 0 && !errors.Is(err, ErrParts) || test.want >= 0 && (err != nil || got != test.want) {
			t.Errorf("%+v: %d, %v", test, got, err)
		}
	}
}
