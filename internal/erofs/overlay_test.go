package erofs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOverlay has the kernel lay one directory of an image over another, as container
// engines do, and writes into it.
func TestOverlay(t *testing.T) {
	t.Parallel()
	tr := tree{
		"1/etc/keep":     regular("base"),
		"1/etc/gone":     regular("base"),
		"1/opaque/below": regular("base"),
		"1/bin/tool":     regular(string(pattern(10_000, 1))),
		"1/usr":          symlink("bin"),
		"2/etc/gone":     {mode: typeChr, mtime: epoch},
		"2/etc/new":      regular("upper"),
		"2/opaque":       dir().xattr("trusted.overlay.opaque", "y"),
		"2/opaque/above": regular("upper"),
	}
	tr.parents()
	lower := mount(t, tr.build(t, nil))
	base := t.TempDir()
	for _, d := range []string{"upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	merged := filepath.Join(base, "merged")
	opts := "lowerdir=" + lower + "/2:" + lower + "/1,upperdir=" + base + "/upper,workdir=" + base + "/work"
	if err := unix.Mount("overlay", merged, "overlay", 0, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, 0); err != nil {
			t.Errorf("umount: %v", err)
		}
	})
	want := "bin bin/tool etc etc/keep etc/new opaque opaque/above usr"
	if got := list(t, merged); got != want {
		t.Errorf("the overlay shows %s, want %s", got, want)
	}
	in := func(p string) string { return filepath.Join(merged, p) }
	for what, err := range map[string]error{
		"overwrite": os.WriteFile(in("etc/keep"), []byte("changed"), 0o644),
		"create":    os.WriteFile(in("etc/gone"), []byte("again"), 0o644),
		"chmod":     os.Chmod(in("bin/tool"), 0o700),
		"rename":    os.Rename(in("etc/new"), in("etc/renamed")),
		"remove":    os.RemoveAll(in("opaque")),
		"chown":     os.Lchown(in("usr"), 5, 5),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	want = "bin bin/tool etc etc/gone etc/keep etc/renamed usr"
	if got := list(t, merged); got != want {
		t.Errorf("after writing the overlay shows %s, want %s", got, want)
	}
	if data, err := os.ReadFile(in("bin/tool")); err != nil || string(data) != string(tr["1/bin/tool"].data) {
		t.Errorf("the copied up file differs: %v", err)
	}
}

// list is the paths below a directory.
func list(t *testing.T, top string) string {
	t.Helper()
	var out []string
	err := fs.WalkDir(os.DirFS(top), ".", func(p string, _ fs.DirEntry, err error) error {
		if p != "." {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
