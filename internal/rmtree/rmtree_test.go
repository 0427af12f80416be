package rmtree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree makes ROOT/x with files and many directories, and one outside that x has links to.
func tree(t *testing.T, root string, many int) (outside string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(root, "x", name) }
	outside = filepath.Join(root, "outside")
	must(t, os.MkdirAll(at("a/b/c"), 0o755))
	must(t, os.MkdirAll(outside, 0o755))
	for _, name := range []string{at("file"), at("a/b/c/file"), filepath.Join(outside, "file")} {
		must(t, os.WriteFile(name, []byte("x"), 0o600))
	}
	for i := range many {
		must(t, os.Mkdir(at("a/b/"+strings.Repeat("n", 1+i%100)+string(rune('a'+i/100))), 0o755))
	}
	must(t, os.Symlink(outside, at("a/link")))
	must(t, unix.Mkfifo(at("pipe"), 0o600))
	return outside
}

func TestRemove(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	outside := tree(t, root, 3000)
	ended, end := context.WithCancel(t.Context())
	end()
	if err := Remove(ended, root, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	for range 2 {
		must(t, Remove(t.Context(), root, "x"))
	}
	if _, err := os.Lstat(filepath.Join(root, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	// A link goes itself, and nothing is removed behind one.
	must(t, os.Symlink(outside, filepath.Join(root, "link")))
	if err := Remove(t.Context(), root, "link/file"); !errors.Is(err, safefile.ErrNotRegular) {
		t.Errorf("behind a link: %v", err)
	}
	must(t, Remove(t.Context(), root, "link"))
	if _, err := os.Stat(filepath.Join(outside, "file")); err != nil {
		t.Errorf("outside: %v", err)
	}
	must(t, Remove(t.Context(), filepath.Join(root, "none"), "x"))
}

// TestMounted: with something mounted inside, a directory of the same file system
// too, nothing goes, and the mount is named.
func TestMounted(t *testing.T) {
	testenv.NeedRoot(t)
	for _, kind := range []string{"tmpfs", "bind", "file", "itself"} {
		t.Run(kind, func(t *testing.T) {
			root := t.TempDir()
			outside := tree(t, root, 100)
			point := filepath.Join(root, "x/a/b/c")
			var err error
			switch kind {
			case "tmpfs":
				err = unix.Mount("tmpfs", point, "tmpfs", 0, "")
			case "bind":
				err = unix.Mount(outside, point, "", unix.MS_BIND, "")
			case "itself":
				point = filepath.Join(root, "x")
				err = unix.Mount(point, point, "", unix.MS_BIND, "")
			case "file":
				point += "/file"
				err = unix.Mount(outside+"/file", point, "", unix.MS_BIND, "")
			}
			must(t, err)
			mounted := true
			t.Cleanup(func() {
				if mounted {
					_ = unix.Unmount(point, unix.MNT_DETACH)
				}
			})
			count := func() (n int) {
				_ = filepath.WalkDir(root, func(string, fs.DirEntry, error) error { n++; return nil })
				return n
			}
			before := count()
			var at *MountError
			for name, do := range map[string]func() error{
				"below":  func() error { return Below(root, "x") },
				"remove": func() error { return Remove(t.Context(), root, "x") },
			} {
				if kind == "itself" && name == "below" {
					must(t, do())
					continue
				}
				if err := do(); !errors.As(err, &at) || len(at.Mounts) != 1 || at.Mounts[0] != point {
					t.Errorf("%s: %v, want one that names %s", name, err, point)
				}
			}
			if after := count(); after != before {
				t.Errorf("%d files, there were %d", after, before)
			}
			// What the walk itself does, with a mount that came after the look.
			if kind == "tmpfs" || kind == "bind" {
				parent, err := os.Open(filepath.Dir(point))
				must(t, err)
				defer parent.Close()
				if _, err := enter(parent, "c"); !errors.As(err, &at) {
					t.Errorf("entered: %v", err)
				}
				in, err := os.Open(point)
				must(t, err)
				defer in.Close()
				if err := sameMount(int(parent.Fd()), int(in.Fd())); !errors.Is(err, unix.EXDEV) {
					t.Errorf("without openat2: %v", err)
				}
			}
			must(t, unix.Unmount(point, unix.MNT_DETACH))
			mounted = false
			must(t, Remove(t.Context(), root, "x"))
			if _, err := os.Stat(filepath.Join(outside, "file")); err != nil {
				t.Errorf("outside: %v", err)
			}
		})
	}
}

// TestImmutable: flags that a store leaves are no obstacle.
func TestImmutable(t *testing.T) {
	root := testenv.NeedFS(t, "ext4")
	tree(t, root, 3000)
	if out, err := exec.CommandContext(t.Context(), "chattr", "+i", filepath.Join(root, "x/file"), filepath.Join(root, "x/a/b/c/file"), filepath.Join(root, "x/a/b/c"), filepath.Join(root, "x")).CombinedOutput(); err != nil {
		t.Fatalf("chattr: %v\n%s", err, out)
	}
	must(t, Remove(t.Context(), root, "x"))
	if _, err := os.Lstat(filepath.Join(root, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
