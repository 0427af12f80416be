package dir_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/store/verify"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"golang.org/x/sys/unix"
)

// takeSource is a release: a layer that all share, and one of its own.
func takeSource(t *testing.T, version string) (*storetest.Source, string) {
	t.Helper()
	src := storetest.NewSource(t, bundle.Expanded)
	shared := storetest.Tar(t,
		storetest.Dir("etc/").Perm(0o2751).Owner(5, 6), storetest.File("etc/a", "shared\n").Perm(0o4711).Owner(7, 8),
		storetest.Link("etc/b", "etc/a").Perm(0o4711).Owner(7, 8), storetest.Symlink("etc/c", "a").Owner(1, 1),
		storetest.Device("etc/null", 1, 3), storetest.File("etc/.wh.gone", ""),
		storetest.Dir("var/"), storetest.File("var/.wh..wh..opq", ""),
		storetest.File("etc/x", "x").Xattr("user.kind", "value"),
		storetest.File("big", strings.Repeat("shared", 100_000)),
	)
	own := storetest.Tar(t, storetest.File("version", version))
	img := src.Add(storetest.Image{Repository: "example.com/app", Layers: [][]byte{shared, own}})
	return src, store.DiffDir(store.LayerID("", img.Layers[0].DiffID))
}

func importTo(t *testing.T, src store.Source, target string, opts store.ImportOptions) *dir.Result {
	t.Helper()
	res, err := dir.Import(t.Context(), src, target, opts)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := verify.Store(t.Context(), target, verify.Options{})
	if err != nil || len(rep.Findings) > 0 {
		t.Fatalf("verifying: %+v, %v", rep, err)
	}
	return res
}

// TestTake takes layers from a sealed store: by links on the same file system,
// as copies from another one. Both are what extraction would have made.
func TestTake(t *testing.T) {
	for _, fs := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fs, func(t *testing.T) {
			root := testenv.NeedFS(t, fs)
			oldSource, shared := takeSource(t, "old")
			old := filepath.Join(root, "a")
			importTo(t, oldSource, old, store.ImportOptions{})
			if _, err := seal.Seal(t.Context(), old, seal.Options{}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = seal.Unmount(old) })
			src, _ := takeSource(t, "new")
			linked, copied := filepath.Join(root, "work", "b"), filepath.Join(t.TempDir(), "copied")
			if res := importTo(t, src, linked, store.ImportOptions{Reuse: []string{old}}); res.Taken != 1 || res.Extracted != 1 {
				t.Errorf("linked: taken %d, extracted %d", res.Taken, res.Extracted)
			}
			if res := importTo(t, src, copied, store.ImportOptions{Reuse: []string{old}}); res.Taken != 1 {
				t.Errorf("copied: taken %d", res.Taken)
			}
			if !same(t, filepath.Join(old, shared, "big"), filepath.Join(linked, shared, "big")) {
				t.Error("the file was not linked")
			}
			for _, dir := range []string{linked, copied} {
				if !same(t, filepath.Join(dir, shared, "etc/a"), filepath.Join(dir, shared, "etc/b")) {
					t.Errorf("%s: hard links were not kept", dir)
				}
			}
			fresh := filepath.Join(t.TempDir(), "fresh")
			importTo(t, src, fresh, store.ImportOptions{})
			want := describe(t, fresh)
			for _, dir := range []string{linked, copied} {
				if diff := storetest.Diff(want, describe(t, dir)); diff != "" {
					t.Errorf("%s:\n%s", dir, diff)
				}
			}
		})
	}
}

// TestTakeDamaged holds that what is damaged in the other store is extracted.
func TestTakeDamaged(t *testing.T) {
	testenv.NeedRoot(t)
	root := t.TempDir()
	oldSource, shared := takeSource(t, "old")
	old := filepath.Join(root, "a")
	importTo(t, oldSource, old, store.ImportOptions{})
	if err := os.WriteFile(filepath.Join(old, shared, "big"), []byte(strings.Repeat("SHARED", 100_000)), 0o644); err != nil {
		t.Fatal(err)
	}
	src, _ := takeSource(t, "new")
	var warned atomic.Bool // by several goroutines
	res := importTo(t, src, filepath.Join(root, "b"), store.ImportOptions{
		Reuse: []string{filepath.Join(root, "no store"), old},
		Progress: func(e progress.Event) {
			if strings.Contains(e.Message, "damaged there") {
				warned.Store(true)
			}
		},
	})
	if res.Taken != 0 || res.Extracted != 2 || !warned.Load() {
		t.Errorf("taken %d, extracted %d, warned %v", res.Taken, res.Extracted, warned.Load())
	}
}

func same(t *testing.T, a, b string) bool {
	t.Helper()
	var sa, sb unix.Stat_t
	if err := unix.Lstat(a, &sa); err != nil {
		t.Fatal(err)
	}
	if err := unix.Lstat(b, &sb); err != nil {
		t.Fatal(err)
	}
	return sa.Ino == sb.Ino && sa.Dev == sb.Dev
}

// describe is a tree without the numbers of links, which is where taken layers
// differ.
func describe(t *testing.T, dir string) []string {
	t.Helper()
	lines := storetest.DescribeTree(t, dir, storetest.TreeOptions{})
	for i, line := range lines {
		lines[i] = regexp.MustCompile(` links=\d+ first="[^"]*"`).ReplaceAllString(line, "")
	}
	return lines
}
