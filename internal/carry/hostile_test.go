package carry

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

// inTime fails where do takes as long as something that waits for ever.
func inTime(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Minute):
		t.Fatal("it waits")
	}
}

// TestHostileStick: whatever lies on a stick in the place of a file that is to be
// written, nothing outside of the stick changes, and the stick does not end as whole
// with links on it.
func TestHostileStick(t *testing.T) {
	t.Parallel()
	opts := options(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(path string) error { return os.Symlink(secret, path) }
	zero := func(path string) error { return os.Symlink("/dev/zero", path) }
	hard := func(path string) error { return os.Link(secret, path) }
	pipe := func(path string) error { return unix.Mkfifo(path, 0o600) }
	folder := func(path string) error { return os.Symlink(filepath.Dir(secret), path) }
	tests := []struct {
		name string
		put  func(path string) error
		want error // nil: it is replaced
	}{
		{"SHA256SUMS.partial", link, safefile.ErrNotRegular},
		{"rel.tar.zst.partial", link, safefile.ErrNotRegular},
		{"nodeseal.partial", pipe, safefile.ErrNotRegular},
		{"install.sh.partial", zero, safefile.ErrNotRegular},
		{"README.html.partial", hard, safefile.ErrLinked},
		{"config", folder, safefile.ErrNotRegular},
		{"SHA256SUMS", link, nil},
		{"rel.tar.zst", link, nil},
		{"rel.tar.zst.sig", zero, nil},
		{"nodeseal", hard, nil},
		{"install.sh", pipe, nil},
	}
	for _, test := range tests {
		dir := t.TempDir()
		if err := test.put(filepath.Join(dir, test.name)); err != nil {
			t.Fatal(err)
		}
		inTime(t, func() {
			_, err := Fill(t.Context(), dir, opts)
			switch {
			case !errors.Is(err, test.want):
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			case err == nil:
				check(t, dir)
			case !strings.Contains(err.Error(), test.name) || !strings.Contains(err.Error(), "remove it"):
				t.Errorf("%s: the error does not say what to do: %v", test.name, err)
			}
		})
		if _, err := os.Lstat(filepath.Join(dir, SumsFile)); test.want != nil && err == nil {
			t.Errorf("%s: the stick says that it is whole", test.name)
		}
		if data, err := os.ReadFile(secret); err != nil || string(data) != "untouched" {
			t.Fatalf("%s: the file outside has %q, %v", test.name, data, err)
		}
		if entries, err := os.ReadDir(filepath.Dir(secret)); err != nil || len(entries) != 1 {
			t.Fatalf("%s: beside the file outside: %v, %v", test.name, entries, err)
		}
	}
}

// TestHostileBundle: a pipe, a link or a device in the place of a bundle, a part, a
// list of parts or a signature is refused at once.
func TestHostileBundle(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"x.tar.zst", "x.tar.zst.parts.json", "x.tar.zst.001"} {
		for what, put := range map[string]func(path string) error{
			"pipe": func(path string) error { return unix.Mkfifo(path, 0o600) },
			"zero": func(path string) error { return os.Symlink("/dev/zero", path) },
			"link": func(path string) error { return os.Symlink("rel.tar.zst", path) },
		} {
			dir, opts := t.TempDir(), options(t)
			opts.PartSize = 100
			if name == "x.tar.zst.001" {
				renamed := filepath.Join(t.TempDir(), "x.tar.zst")
				if err := os.Rename(opts.Bundle, renamed); err != nil {
					t.Fatal(err)
				}
				opts.Bundle = renamed
				fill(t, dir, opts)
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			if err := put(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			inTime(t, func() {
				path, err := Find(t.Context(), dir)
				if err != nil {
					t.Errorf("%s as %s: %v", name, what, err)
					return
				}
				if _, err := archive.OpenFile(t.Context(), path); !errors.Is(err, safefile.ErrNotRegular) {
					t.Errorf("%s as %s: %v", name, what, err)
				}
			})
		}
	}
}

// TestLeaveResult: the result is there, or the node's files are as they were.
func TestLeaveResult(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(path string) error{
		"nothing": func(string) error { return nil },
		"older":   func(path string) error { return os.WriteFile(path, []byte("a longer text of an earlier run\n"), 0o600) },
		"zero":    func(path string) error { return os.Symlink("/dev/zero", path) },
		"link":    func(path string) error { return os.Symlink(secret, path) },
		"pipe":    func(path string) error { return unix.Mkfifo(path, 0o600) },
	} {
		for _, file := range []string{"result-n1.txt", "result-n1.txt.partial"} {
			dir := t.TempDir()
			path := filepath.Join(dir, file)
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			want := "node n1: OK\n"
			if name == "older" && file == "result-n1.txt" {
				want = "a longer text of an earlier run\n\n" + want
			}
			inTime(t, func() {
				for range 2 {
					err := LeaveResult(dir, "some/n1", []byte("node n1: OK\n"))
					// What a kill left is taken, what no run of ours left is not.
					if hostile := name != "nothing" && name != "older" && file != "result-n1.txt"; hostile {
						if !errors.Is(err, safefile.ErrNotRegular) {
							t.Errorf("%s at %s: %v", name, file, err)
						}
						continue
					}
					if data, rerr := os.ReadFile(filepath.Join(dir, "result-n1.txt")); err != nil || rerr != nil || string(data) != want {
						t.Errorf("%s at %s: %q, %v, %v", name, file, data, err, rerr)
					}
				}
			})
		}
	}
	if data, err := os.ReadFile(secret); err != nil || string(data) != "untouched" {
		t.Errorf("the file outside has %q, %v", data, err)
	}
}

// TestResultsAreBounded: the newest results are kept.
func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := strings.Repeat("a line of a result\n", 2000)
	for i := range 40 {
		if err := LeaveResult(dir, "n1", fmt.Appendf(nil, "run %d\n%s", i, text)); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "result-n1.txt"))
	if err != nil || len(data) > maxResult+len(text)+20 || !strings.HasPrefix(string(data), "a line") || !strings.Contains(string(data), "run 38\n") || !strings.Contains(string(data), "run 39\n") {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}
