package safefile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hostile makes a directory with one of everything that is no file, and a secret
// outside of it.
func hostile(t *testing.T) (dir, secret string) {
	t.Helper()
	top := t.TempDir()
	dir, secret = filepath.Join(top, "root"), filepath.Join(top, "secret")
	at := func(name string) string { return filepath.Join(dir, name) }
	check(t, os.MkdirAll(at("sub/deep"), 0o755))
	check(t, os.MkdirAll(filepath.Join(top, "outside"), 0o755))
	for _, name := range []string{secret, filepath.Join(top, "outside/file"), at("file"), at("sub/deep/file")} {
		check(t, os.WriteFile(name, []byte("content"), 0o600))
	}
	check(t, os.Symlink("/dev/zero", at("zero")))
	check(t, os.Symlink("../secret", at("link")))
	check(t, os.Symlink("file", at("inside")))
	check(t, os.Symlink("nowhere", at("dangling")))
	check(t, os.Symlink("../outside", at("out")))
	check(t, os.Symlink("sub", at("in")))
	check(t, os.Symlink("deep", at("sub/again")))
	check(t, unix.Mkfifo(at("fifo"), 0o644))
	check(t, os.Link(secret, at("hard")))
	l, err := net.Listen("unix", at("socket"))
	check(t, err)
	t.Cleanup(func() { l.Close() })
	giant, err := os.Create(at("giant"))
	check(t, err)
	check(t, errors.Join(giant.Truncate(1<<40), giant.Close()))
	return dir, secret
}

// each calls do with a root that uses openat2, and one on a kernel without it.
func each(t *testing.T, dir string, do func(t *testing.T, r *Root)) {
	t.Helper()
	for name, walk := range map[string]bool{"openat2": false, "walk": true} {
		t.Run(name, func(t *testing.T) {
			r, err := OpenRoot(dir)
			check(t, err)
			defer r.Close()
			r.walk = walk
			do(t, r)
		})
	}
}

// TestOpen: regular files beneath the root, and nothing else, at once.
func TestOpen(t *testing.T) {
	t.Parallel()
	dir, _ := hostile(t)
	tests := map[string]error{
		"file": nil, "sub/deep/file": nil, "giant": ErrTooLarge,
		"zero": ErrNotRegular, "link": ErrNotRegular, "inside": ErrNotRegular, "dangling": ErrNotRegular,
		"fifo": ErrNotRegular, "socket": ErrNotRegular, "sub": ErrNotRegular, ".": ErrNotRegular,
		"out/file": ErrNotRegular, "in/deep/file": ErrNotRegular, "sub/again/file": ErrNotRegular,
		"../secret": ErrName, "sub/../../secret": ErrName, "/etc/passwd": ErrName, "": ErrName, "a\x00b": ErrName,
		"missing": fs.ErrNotExist, "sub/missing/file": fs.ErrNotExist, "file/x": unix.ENOTDIR,
	}
	each(t, dir, func(t *testing.T, r *Root) {
		for name, want := range tests {
			start := time.Now()
			data, err := r.ReadFile(name, 1<<20)
			if !errors.Is(err, want) || want == nil && string(data) != "content" {
				t.Errorf("%q: %q, %v, want %v", name, data, err, want)
			}
			if want != nil && !strings.Contains(err.Error(), r.Path(name)) {
				t.Errorf("%q: the error does not name the file: %v", name, err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%q took %v", name, took)
			}
		}
		if _, err := r.ReadFile("file", 7); err != nil {
			t.Errorf("a file of just the limit: %v", err)
		}
		if _, err := r.ReadFile("file", 6); !errors.Is(err, ErrTooLarge) {
			t.Errorf("a file of one byte more than the limit: %v", err)
		}
	})
}

// TestDevices: a device is refused, and was never opened: to open a terminal's
// master makes a new terminal.
func TestDevices(t *testing.T) {
	t.Parallel()
	for name, device := range map[string]int{"zero": int(unix.Mkdev(1, 5)), "ptmx": int(unix.Mkdev(5, 2))} {
		dir := t.TempDir()
		if err := unix.Mknod(filepath.Join(dir, name), unix.S_IFCHR|0o666, device); err != nil {
			t.Skipf("mknod: %v: it needs root", err)
		}
		each(t, dir, func(t *testing.T, r *Root) {
			_, err := r.Open(name)
			if !errors.Is(err, ErrNotRegular) || !strings.Contains(err.Error(), "a device") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// TestPath: the directory may be named through links, the file may be none.
func TestPath(t *testing.T) {
	t.Parallel()
	dir, secret := hostile(t)
	for path, want := range map[string]error{
		filepath.Join(dir, "file"): nil, filepath.Join(dir, "in/deep/file"): nil, secret: nil,
		filepath.Join(dir, "fifo"): ErrNotRegular, filepath.Join(dir, "zero"): ErrNotRegular, dir: ErrNotRegular,
		filepath.Join(dir, "giant"): ErrTooLarge, filepath.Join(dir, "no/file"): fs.ErrNotExist,
	} {
		if _, err := ReadFile(path, 1<<20); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}

// TestFS: what fs.ReadFile, fs.Stat and fs.ReadDir give.
func TestFS(t *testing.T) {
	t.Parallel()
	dir, _ := hostile(t)
	fsys := DirFS(dir, 1<<20)
	for name, want := range map[string]error{
		"file": nil, "link": ErrNotRegular, "fifo": ErrNotRegular, "giant": ErrTooLarge, "out/file": ErrNotRegular, "gone": fs.ErrNotExist,
	} {
		if _, err := fs.ReadFile(fsys, name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if info, err := fs.Stat(fsys, "inside"); err != nil || info.Mode().IsRegular() {
		t.Errorf("a link is %v, %v", info, err)
	}
	entries, err := fs.ReadDir(fsys, "sub")
	if err != nil || len(entries) != 2 || entries[0].Name() != "again" {
		t.Errorf("entries %v, %v", entries, err)
	}
	if _, err := fs.ReadDir(fsys, "out"); !errors.Is(err, ErrNotRegular) {
		t.Errorf("entries behind a link: %v", err)
	}
	if _, err := fs.ReadFile(DirFS(filepath.Join(dir, "none"), 1), "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no root: %v", err)
	}
	r, err := OpenRoot(dir)
	check(t, err)
	defer r.Close()
	if _, err := r.ReadDir(".", 3); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more entries than allowed: %v", err)
	}
}

// TestWrite: nothing outside of the root changes, whatever is in its place.
func TestWrite(t *testing.T) {
	t.Parallel()
	dir, secret := hostile(t)
	each(t, dir, func(t *testing.T, r *Root) {
		for _, name := range []string{"zero", "link", "inside", "dangling", "fifo", "sub", "socket"} {
			if _, err := r.Create(name, 0o644); !errors.Is(err, fs.ErrExist) {
				t.Errorf("creating %s: %v", name, err)
			}
			if _, err := r.Resume(name, 0o644); !errors.Is(err, ErrNotRegular) {
				t.Errorf("resuming %s: %v", name, err)
			}
		}
		if _, err := r.Resume("hard", 0o644); !errors.Is(err, ErrLinked) {
			t.Errorf("resuming a file with two names: %v", err)
		}
		for _, name := range []string{"out/new", "in/new"} {
			if _, err := r.Create(name, 0o644); !errors.Is(err, ErrNotRegular) {
				t.Errorf("creating %s: %v", name, err)
			}
			if err := r.MkdirAll(name, 0o755); !errors.Is(err, ErrNotRegular) {
				t.Errorf("making %s: %v", name, err)
			}
			if err := r.Rename("file", name); !errors.Is(err, ErrNotRegular) {
				t.Errorf("renaming to %s: %v", name, err)
			}
		}
		if err := r.Remove("out/file"); !errors.Is(err, ErrNotRegular) {
			t.Errorf("removing behind a link: %v", err)
		}
		if err := r.Remove("../secret"); !errors.Is(err, ErrName) {
			t.Errorf("removing outside: %v", err)
		}
		check(t, r.MkdirAll("new/dir", 0o755))
		check(t, r.MkdirAll("new/dir", 0o755))
		for _, text := range []string{"one", "more"} {
			f, err := r.Resume("new/dir/x.partial", 0o640)
			check(t, err)
			_, err = f.WriteString(text)
			check(t, errors.Join(err, f.Close()))
		}
		check(t, r.Rename("new/dir/x.partial", "new/dir/x"))
		check(t, r.SyncDir("new/dir"))
		if data, err := r.ReadFile("new/dir/x", 100); err != nil || string(data) != "more" {
			t.Errorf("written: %q, %v", data, err)
		}
		if info, err := r.Lstat("new/dir/x"); err != nil || info.Mode() != 0o640 {
			t.Errorf("mode: %v, %v", info, err)
		}
		// What a link is replaced by, and not what it names.
		check(t, os.Symlink(secret, filepath.Join(dir, "SUMS")))
		check(t, r.Rename("new/dir/x", "SUMS"))
		check(t, r.Remove("SUMS"))
	})
	for _, name := range []string{secret, filepath.Join(dir, "../outside/file"), filepath.Join(dir, "file")} {
		if data, err := os.ReadFile(name); err != nil || string(data) != "content" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "../outside"))
	if err != nil || len(entries) != 1 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

// TestSwapped: a file that is exchanged for a link or a pipe again and again is
// never read as one, and never waited for.
func TestSwapped(t *testing.T) {
	t.Parallel()
	dir, secret := hostile(t)
	check(t, os.WriteFile(secret, []byte("secret"), 0o600))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		at := func(name string) string { return filepath.Join(dir, name) }
		for {
			for _, other := range []string{"link", "fifo", "zero"} {
				select {
				case <-stop:
					return
				default:
				}
				_ = unix.Renameat2(unix.AT_FDCWD, at("file"), unix.AT_FDCWD, at(other), unix.RENAME_EXCHANGE)
			}
		}
	}()
	each(t, dir, func(t *testing.T, r *Root) {
		var seen []string
		for range 2000 {
			data, err := r.ReadFile("file", 1<<20)
			if err != nil && !errors.Is(err, ErrNotRegular) || err == nil && string(data) != "content" {
				t.Fatalf("%q, %v", data, err)
			}
			if err == nil && !slices.Contains(seen, string(data)) {
				seen = append(seen, string(data))
			}
		}
	})
	close(stop)
	<-stopped
}
