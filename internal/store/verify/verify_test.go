package verify_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/store/verify"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"golang.org/x/sys/unix"
)

// newStore imports two images with everything that layers have, and returns the
// store's directory and the folders of the contents of the base layer and the
// one above.
func newStore(t *testing.T) (path, base, above string) {
	t.Helper()
	testenv.NeedRoot(t)
	src := storetest.NewSource(t, bundle.Expanded)
	lower := storetest.Tar(t,
		storetest.Dir("/").Perm(0o755).Owner(1, 2),
		storetest.Dir("etc/"), storetest.File("etc/hosts", "hosts\n").Owner(3, 4), storetest.File("etc/empty", ""),
		storetest.File("etc/secret", "x").Perm(0o4750), storetest.Symlink("etc/link", "hosts"),
		storetest.Symlink("lib", "usr/lib"), storetest.Dir("usr/lib/"), storetest.File("lib/through", "a link on the way\n"),
		storetest.Link("etc/hard", "etc/hosts").Owner(3, 4), storetest.Device("etc/null", 1, 3),
		storetest.Link("implied/by/link", "etc/hosts").Owner(3, 4),
		storetest.File("implied/only/by/name", "deep\n"),
		storetest.File("etc/caps", "caps").Xattr("user.kind", "value"),
		storetest.File("big", strings.Repeat("0123456789abcdef", 100_000)),
	)
	upper := storetest.Tar(t,
		storetest.Dir("etc/"), storetest.File("etc/.wh.hosts", ""), storetest.Dir("usr/"), storetest.File("usr/.wh..wh..opq", ""),
		storetest.File("new", "new\n"),
	)
	first := src.Add(storetest.Image{Repository: "example.com/lower", Layers: [][]byte{lower}, Compression: "gzip"})
	src.Add(storetest.Image{Repository: "example.com/upper", Layers: [][]byte{lower, upper}, Index: true, Tags: []string{"v1"}})
	baseID := store.LayerID("", first.Layers[0].DiffID)
	path = filepath.Join(t.TempDir(), "store")
	if _, err := dir.Import(t.Context(), src, path, store.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(path, "overlay", "*", "lower"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return path, filepath.Join(path, store.DiffDir(baseID)), filepath.Join(filepath.Dir(found[0]), "diff")
}

func TestWhole(t *testing.T) {
	path, _, _ := newStore(t)
	rep, err := verify.Store(t.Context(), path, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rep.Findings {
		t.Errorf("%s: %v", f.Path, f.Err)
	}
	if rep.Images != 2 || rep.Layers != 2 || rep.Bytes == 0 || len(rep.Hurt) != 0 {
		t.Errorf("%+v", rep)
	}
}

func TestEmpty(t *testing.T) {
	testenv.NeedRoot(t)
	path := filepath.Join(t.TempDir(), "empty")
	if err := dir.WriteEmpty(path); err != nil {
		t.Fatal(err)
	}
	rep, err := verify.Store(t.Context(), path, verify.Options{})
	if err != nil || len(rep.Findings) != 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	if _, err := verify.Store(t.Context(), t.TempDir(), verify.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no store: %v", err)
	}
}

// TestDamage damages one thing at a time, and wants just that to be named.
func TestDamage(t *testing.T) {
	flip := func(t *testing.T, path string, at int64) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[at] ^= 1
		if err := os.WriteFile(path, data, info.Mode()); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
	check := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	both := []string{"lower", "upper"}
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, path, base, above string)
		want   string   // the end of a finding's path
		hurt   []string // parts of the names of hurt images
	}{
		{"flipped byte", func(t *testing.T, _, base, _ string) { flip(t, base+"/big", 777_777) }, "/diff/big", both},
		{"flipped byte in a small file", func(t *testing.T, _, _, above string) { flip(t, above+"/new", 1) }, "/diff/new", both[1:]},
		{"shorter", func(t *testing.T, _, base, _ string) { check(t, os.Truncate(base+"/big", 5)) }, "/diff/big", both},
		{"longer", func(t *testing.T, _, base, _ string) { check(t, os.Truncate(base+"/big", 5_000_000)) }, "/diff/big", both},
		{"removed file", func(t *testing.T, _, base, _ string) { check(t, os.Remove(base+"/etc/hosts")) }, "/diff/etc/hosts", both},
		{"removed empty file", func(t *testing.T, _, base, _ string) { check(t, os.Remove(base+"/etc/empty")) }, "/diff/etc/empty", both},
		{"removed device", func(t *testing.T, _, base, _ string) { check(t, os.Remove(base+"/etc/null")) }, "/diff/etc/null", both},
		{"removed directory", func(t *testing.T, _, base, _ string) { check(t, os.RemoveAll(base+"/implied")) }, "/diff/implied/only/by/name", both},
		{"removed whiteout", func(t *testing.T, _, _, above string) { check(t, os.Remove(above+"/etc/hosts")) }, "/diff/etc/hosts", both[1:]},
		{"not opaque", func(t *testing.T, _, _, above string) {
			check(t, unix.Removexattr(above+"/usr", "trusted.overlay.opaque"))
		}, "/diff/usr", both[1:]},
		{"opaque", func(t *testing.T, _, _, above string) {
			check(t, unix.Setxattr(above+"/etc", "trusted.overlay.opaque", []byte("y"), 0))
		}, "/diff/etc", both[1:]},
		{"mode", func(t *testing.T, _, base, _ string) { check(t, os.Chmod(base+"/etc/secret", 0o777)) }, "/diff/etc/secret", both},
		{"mode of a directory", func(t *testing.T, _, base, _ string) { check(t, os.Chmod(base+"/etc", 0o777)) }, "/diff/etc", both},
		{"mode of an implied directory", func(t *testing.T, _, base, _ string) { check(t, os.Chmod(base+"/implied", 0o777)) }, "/diff/implied", both},
		{"mode of the root directory", func(t *testing.T, _, base, _ string) { check(t, os.Chmod(base, 0o700)) }, "/diff", both},
		{"owner", func(t *testing.T, _, base, _ string) { check(t, os.Lchown(base+"/etc/link", 9, 9)) }, "/diff/etc/link", both},
		{"time", func(t *testing.T, _, base, _ string) {
			check(t, os.Chtimes(base+"/etc/empty", time.Unix(1, 0), time.Unix(1, 0)))
		}, "/diff/etc/empty", both},
		{"link", func(t *testing.T, _, base, _ string) {
			check(t, os.Remove(base+"/etc/link"))
			check(t, os.Symlink("empty", base+"/etc/link"))
		}, "/diff/etc/link", both},
		{"hard link", func(t *testing.T, _, base, _ string) {
			check(t, os.Remove(base+"/etc/hard"))
			check(t, os.WriteFile(base+"/etc/hard", []byte("hosts\n"), 0o644))
		}, "/diff/etc/hard", both},
		{"kind", func(t *testing.T, _, base, _ string) {
			check(t, os.Remove(base+"/etc/empty"))
			check(t, os.Mkdir(base+"/etc/empty", 0o755))
		}, "/diff/etc/empty", both},
		{"a pipe in the place of a file", func(t *testing.T, _, base, _ string) {
			check(t, os.Remove(base+"/big"))
			check(t, unix.Mkfifo(base+"/big", 0o644))
		}, "/diff/big", both},
		{"extended attribute", func(t *testing.T, _, base, _ string) {
			check(t, unix.Setxattr(base+"/etc/caps", "user.kind", []byte("other"), 0))
		}, "/diff/etc/caps", both},
		{"foreign extended attribute", func(t *testing.T, _, base, _ string) {
			check(t, unix.Setxattr(base+"/etc/empty", "user.x", []byte("y"), 0))
		}, "/diff/etc/empty", both},
		{"overlay's redirect", func(t *testing.T, _, base, _ string) {
			check(t, unix.Setxattr(base+"/etc", "trusted.overlay.redirect", []byte("/implied"), 0))
		}, "/diff/etc", both},
		{"overlay's metacopy", func(t *testing.T, _, _, above string) {
			check(t, unix.Setxattr(above+"/new", "trusted.overlay.metacopy", nil, 0))
		}, "/diff/new", both[1:]},
		{"overlay's other opaque", func(t *testing.T, _, base, _ string) {
			check(t, unix.Setxattr(base+"/etc", "trusted.overlay.opaque", []byte("x"), 0))
		}, "/diff/etc", both},
		{"overlay's redirect of the root", func(t *testing.T, _, base, _ string) {
			check(t, unix.Setxattr(base, "trusted.overlay.redirect", []byte("/etc"), 0))
		}, "/diff", both},
		{"access list", func(t *testing.T, _, base, _ string) {
			acl := "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00\x07\x00\x00\x00" +
				"\x04\x00\x04\x00\xff\xff\xff\xff" + "\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x04\x00\xff\xff\xff\xff"
			check(t, unix.Setxattr(base+"/etc/empty", "system.posix_acl_access", []byte(acl), 0))
		}, "/diff/etc/empty", both},
		{"foreign file", func(t *testing.T, _, base, _ string) {
			check(t, os.WriteFile(base+"/etc/foreign", nil, 0o644))
		}, "/diff/etc/foreign", both},
		{"foreign directory", func(t *testing.T, path, _, _ string) {
			check(t, os.MkdirAll(path+"/overlay/foreign/diff", 0o755))
		}, "overlay/foreign", nil},
		{"foreign file in an image", func(t *testing.T, path, _, _ string) {
			check(t, os.WriteFile(path+"/overlay-images/foreign", nil, 0o644))
		}, "overlay-images/foreign", nil},
		{"layers.json", func(t *testing.T, path, _, _ string) { flip(t, path+"/overlay-layers/layers.json", 10) }, "layers.json", both},
		{"images.json cut", func(t *testing.T, path, _, _ string) {
			check(t, os.Truncate(path+"/overlay-images/images.json", 100))
		}, "images.json", both},
		{"lock file", func(t *testing.T, path, _, _ string) {
			check(t, os.Remove(path+"/overlay-images/images.lock"))
		}, "images.lock", both},
		{"mode of a record", func(t *testing.T, path, _, _ string) {
			check(t, os.Chmod(path+"/overlay-images/images.json", 0o666))
		}, "images.json", both},
		{"tar-split", func(t *testing.T, path, _, above string) {
			flip(t, path+"/overlay-layers/"+filepath.Base(filepath.Dir(above))+".tar-split.gz", 60)
		}, "/diff", both[1:]},
		{"tar-split gone", func(t *testing.T, path, _, above string) {
			check(t, os.Remove(path+"/overlay-layers/"+filepath.Base(filepath.Dir(above))+".tar-split.gz"))
		}, ".tar-split.gz", both[1:]},
		{"lower", func(t *testing.T, _, _, above string) { flip(t, filepath.Dir(above)+"/lower", 4) }, "/lower", both[1:]},
		{"short name", func(t *testing.T, path, _, _ string) {
			links, err := filepath.Glob(path + "/overlay/l/*")
			check(t, err)
			check(t, os.Remove(links[0]))
		}, "", nil},
		{"diff gone", func(t *testing.T, _, base, _ string) { check(t, os.RemoveAll(base)) }, "/diff", both},
		{"inventory", func(t *testing.T, path, _, _ string) { flip(t, path+"/nodeseal/inventory.json", 3) }, "inventory.json", nil},
		{"manifest", func(t *testing.T, path, _, _ string) {
			found, err := filepath.Glob(path + "/overlay-images/*/manifest")
			check(t, err)
			flip(t, found[0], 20)
		}, "/manifest", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path, base, above := newStore(t)
			tc.damage(t, path, base, above)
			rep, err := verify.Store(t.Context(), path, verify.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Findings) == 0 || !slices.ContainsFunc(rep.Findings, func(f verify.Finding) bool { return strings.HasSuffix(f.Path, tc.want) }) {
				t.Errorf("findings %v, want one of ...%s", rep.Findings, tc.want)
			}
			if len(rep.Findings) > 4 {
				t.Errorf("one damage, %d findings: %v", len(rep.Findings), rep.Findings)
			}
			for _, part := range tc.hurt {
				if !slices.ContainsFunc(rep.Hurt, func(name string) bool { return strings.Contains(name, part) }) {
					t.Errorf("hurt %v, want %s", rep.Hurt, part)
				}
			}
		})
	}
}
