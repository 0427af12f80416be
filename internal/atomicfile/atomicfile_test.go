package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/nodeseal/nodeseal/internal/filelock"
)

var errInjected = errors.New("injected")

// names lists dir, to show that nothing is left beside the target.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWrite(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]Option{
		"unique":  nil,
		"partial": {WithPartialName()},
		"sized":   {WithSize(3)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			for _, want := range []string{"old", "new"} {
				if err := Write(path, 0o640, strings.NewReader(want), opts...); err != nil {
					t.Fatal(err)
				}
				if got := content(t, path); got != want {
					t.Errorf("content %q, want %q", got, want)
				}
			}
			if got := names(t, dir); got != "f" {
				t.Errorf("left in the directory: %s", got)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm() | 0o040; got != 0o640 { // the umask may take the group
				t.Errorf("mode %o", got)
			}
		})
	}
}

// TestDevice refuses to replace a device.
func TestDevice(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]Option{nil, {WithPartialName()}} {
		f, err := Create(os.DevNull, 0o600, opts...)
		if !errors.Is(err, ErrDevice) {
			t.Errorf("Create gave %v", err)
		}
		if f != nil {
			f.Close()
		}
	}
}

// TestFailure makes each step fail: the target keeps what it held and nothing
// is left beside it.
func TestFailure(t *testing.T) {
	t.Parallel()
	steps := func(change func(*ops)) Option { return func(c *config) { change(&c.ops) } }
	tests := []struct {
		name    string
		opt     Option
		content func() io.Reader
		want    error
		after   string
	}{
		{"reader", func(*config) {}, tornReader, errInjected, "old"},
		{"short", WithSize(4), newReader, ErrLength, "old"},
		{"long", WithSize(2), newReader, ErrLength, "old"},
		{"sync", steps(func(o *ops) { o.sync = func(*os.File) error { return errInjected } }), newReader, errInjected, "old"},
		{"rename", steps(func(o *ops) { o.rename = func(_, _ string) error { return errInjected } }), newReader, errInjected, "old"},
		{"directory", steps(func(o *ops) { o.syncDir = func(string) error { return errInjected } }), newReader, errInjected, "new"},
	}
	for _, test := range tests {
		for suffix, opts := range map[string][]Option{"/unique": {test.opt}, "/partial": {test.opt, WithPartialName()}} {
			t.Run(test.name+suffix, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				path := filepath.Join(dir, "f")
				if err := WriteBytes(path, 0o644, []byte("old")); err != nil {
					t.Fatal(err)
				}
				if err := Write(path, 0o644, test.content(), opts...); !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
				if got := content(t, path); got != test.after {
					t.Errorf("content %q, want %q", got, test.after)
				}
				if got := names(t, dir); got != "f" {
					t.Errorf("left in the directory: %s", got)
				}
			})
		}
	}
}

func newReader() io.Reader { return strings.NewReader("new") }

func tornReader() io.Reader {
	return io.MultiReader(strings.NewReader("ne"), iotest.ErrReader(errInjected))
}

// TestFailedWriteSticks: a torn file cannot be committed.
func TestFailedWriteSticks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "f"), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	good := f.f
	f.f, err = os.Open(good.Name()) // read-only: the write fails
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("x")); !errors.Is(err, syscall.EBADF) {
		t.Fatalf("write: %v", err)
	}
	if err := f.f.Close(); err != nil {
		t.Fatal(err)
	}
	f.f = good
	if _, err := f.Write([]byte("y")); !errors.Is(err, syscall.EBADF) {
		t.Errorf("second write: %v", err)
	}
	if err := f.Commit(); !errors.Is(err, syscall.EBADF) {
		t.Errorf("commit: %v", err)
	}
	if got := names(t, dir); got != "" {
		t.Errorf("left in the directory: %s", got)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*File) error{"commit": (*File).Commit, "close": (*File).Close} {
		f, err := Create(filepath.Join(t.TempDir(), "f"), 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if err := end(f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := f.Write([]byte("x")); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("write after %s: %v", name, err)
		}
		if err := f.Commit(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("commit after %s: %v", name, err)
		}
		if err := f.Close(); err != nil {
			t.Errorf("close after %s: %v", name, err)
		}
	}
}

// TestPartial: the name is as promised, a leftover is replaced whole, a second
// writer is refused, and a symbolic link is not followed.
func TestPartial(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "b.tar.zst")
	if err := os.WriteFile(path+Suffix, []byte("a longer leftover"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Create(path, 0o600, WithPartialName())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, 0o600, WithPartialName()); !errors.Is(err, filelock.ErrBusy) {
		t.Errorf("second writer: %v, want ErrBusy", err)
	}
	if got := names(t, dir); got != "b.tar.zst.partial" {
		t.Errorf("names: %s", got)
	}
	if _, err := f.Write([]byte("short")); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path); got != "short" {
		t.Errorf("content %q", got)
	}
	if err := os.Symlink(path, path+Suffix); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, 0o600, WithPartialName()); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("through a symbolic link: %v, want ELOOP", err)
	}
}

func TestMissingDirectory(t *testing.T) {
	t.Parallel()
	err := WriteBytes(filepath.Join(t.TempDir(), "no", "f"), 0o644, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
}
