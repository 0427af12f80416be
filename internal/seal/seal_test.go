package seal

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// onEach runs a test on each of the file systems that nodes have.
func onEach(t *testing.T, test func(t *testing.T, dir string)) {
	t.Helper()
	t.Parallel()
	for _, fsType := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fsType, func(t *testing.T) {
			t.Parallel()
			test(t, testenv.NeedFS(t, fsType))
		})
	}
}

func seal(t *testing.T, dir string, opts Options) Report {
	t.Helper()
	r, err := Seal(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func unseal(t *testing.T, dir string) Report {
	t.Helper()
	r, err := Unseal(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSeal: flags exactly where they belong, other flags as before, nothing
// removable, sealing again changes nothing, unsealing gives the store back.
func TestSeal(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		s := newStore(t, dir, 5)
		setFlags(t, s.path("overlay-images/images.json"), s.flags(t)["overlay-images/images.json"]|flagNoDump)
		before, files := s.flags(t), s.files(t)

		r := seal(t, s.dir, Options{})
		want := s.want()
		if got := s.immutable(t); !slices.Equal(got, want) {
			t.Errorf("immutable:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if !r.Sealed() || r.Targets != len(want) || r.Changed != len(want) || r.FSType != filepath.Base(dir) || r.Dir != s.dir {
			t.Errorf("report %+v", r)
		}
		rmrf(t, s.dir)
		if got := s.files(t); !slices.Equal(got, files) {
			t.Errorf("rm -rf removed files: %d of %d are left", len(got), len(files))
		}
		if r := seal(t, s.dir, Options{}); r.Changed != 0 || !r.Sealed() {
			t.Errorf("sealing again: %+v", r)
		}
		if at, err := mountsAt(s.dir); err != nil || len(at.self) != 1 {
			t.Errorf("mounts after sealing twice: %+v, %v", at, err)
		}
		if r, err := State(t.Context(), s.dir); err != nil || !r.Sealed() {
			t.Errorf("state: %+v, %v", r, err)
		}
		if r := unseal(t, s.dir); r.Changed != len(want) || r.Immutable != 0 || r.Mounted {
			t.Errorf("unsealing: %+v", r)
		}
		for name, flags := range s.flags(t) {
			if flags != before[name] {
				t.Errorf("%s: flags %#x, before the seal %#x", name, flags, before[name])
			}
		}
		if r := unseal(t, s.dir); r.Changed != 0 {
			t.Errorf("unsealing again: %+v", r)
		}
		if err := os.RemoveAll(s.dir); err != nil {
			t.Errorf("removing the unsealed store: %v", err)
		}
	})
}

// TestNoMount: without the mount, rm -rf takes the contents of layers but
// leaves all that describes them, and the top directory can be renamed.
func TestNoMount(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		s := newStore(t, dir, 3)
		r := seal(t, s.dir, Options{NoMount: true})
		if r.Mounted || !r.FlagsSet() || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "not protected") }) {
			t.Errorf("report %+v", r)
		}
		rmrf(t, s.dir)
		if got, want := s.immutable(t), s.want(); !slices.Equal(got, want) {
			t.Errorf("left after rm -rf:\n%s", strings.Join(got, "\n"))
		}
		for _, id := range s.layers {
			if _, err := os.Stat(s.path("overlay/" + id + "/diff")); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(s.path("overlay/" + id + "/diff/etc")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("diff/etc is protected, the package's comment says it is not: %v", err)
			}
		}
		moved := s.dir + ".moved"
		if err := os.Rename(s.dir, moved); err != nil {
			t.Fatal(err)
		}
		s.dir = moved
		unseal(t, s.dir)
	})
}

// TestOverlay: a container on a sealed store can do everything with the files
// of its image.
func TestOverlay(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		s := newStore(t, dir, 2)
		seal(t, s.dir, Options{})
		merged := mountOverlay(t, s)
		at := func(name string) string { return filepath.Join(merged, "etc", name) }
		steps := []struct {
			name string
			do   func() error
		}{
			{"create", func() error { return os.WriteFile(at("new"), []byte("x"), 0o600) }},
			{"overwrite", func() error { return os.WriteFile(at("conf"), []byte("x"), 0o600) }},
			{"chmod", func() error { return os.Chmod(at("other"), 0o640) }},
			{"rename", func() error { return os.Rename(at("other"), at("renamed")) }},
			{"remove", func() error { return os.Remove(at("conf")) }},
			{"chmod the directory", func() error { return os.Chmod(filepath.Join(merged, "etc"), 0o711) }},
			{"remove the directory", func() error { return os.RemoveAll(filepath.Join(merged, "etc")) }},
			{"create in the root", func() error { return os.Mkdir(filepath.Join(merged, "run"), 0o700) }},
		}
		for _, step := range steps {
			if err := step.do(); err != nil {
				t.Errorf("%s: %v", step.name, err)
			}
		}
		unseal(t, s.dir) // with the container running
		if data, err := os.ReadFile(s.path("overlay/" + s.layers[0] + "/diff/etc/conf")); err != nil || string(data) != "from the image" {
			t.Errorf("the store changed: %q, %v", data, err)
		}
	})
}

// mountOverlay mounts the store's layers as a container's root is.
func mountOverlay(t *testing.T, s *fakeStore) string {
	t.Helper()
	base := filepath.Dir(s.dir)
	for _, name := range []string{"upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(base, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	lower := s.path("overlay/"+s.layers[1]+"/diff") + ":" + s.path("overlay/"+s.layers[0]+"/diff")
	merged := filepath.Join(base, "merged")
	data := "lowerdir=" + lower + ",upperdir=" + filepath.Join(base, "upper") + ",workdir=" + filepath.Join(base, "work")
	if err := unix.Mount("overlay", merged, "overlay", 0, data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, 0); err != nil {
			t.Error(err)
		}
	})
	return merged
}

// countdown ends after its Err was asked n times.
type countdown struct {
	context.Context //nolint:containedctx // it is one itself
	n               int
}

func (c *countdown) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

// TestInterrupted stops seal and unseal at every point where they can stop, and
// goes on.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := newStore(t, testenv.NeedFS(t, "ext4"), 2)
	want := s.want()
	for _, again := range []func(){
		func() { seal(t, s.dir, Options{}) },
		func() { unseal(t, s.dir) },
	} {
		for n := 0; ; n++ {
			if _, err := Seal(&countdown{t.Context(), n}, s.dir, Options{}); err == nil {
				break
			} else if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			again()
			if got, err := State(t.Context(), s.dir); err != nil || got.Sealed() == (got.Immutable == 0) {
				t.Fatalf("stopped at %d and gone on: %+v, %v", n, got, err)
			}
			unseal(t, s.dir)
		}
		if got := s.immutable(t); !slices.Equal(got, want) {
			t.Fatalf("immutable: %s", got)
		}
		for n := 0; ; n++ {
			if _, err := Unseal(&countdown{t.Context(), n}, s.dir); err == nil {
				break
			} else if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		if got := s.immutable(t); got != nil {
			t.Fatalf("still immutable: %s", got)
		}
	}
}

// TestHalfSealedBelowMount: what is missing below a read-only mount is added,
// and the mount is there again; also with NoMount, which takes none away.
func TestHalfSealedBelowMount(t *testing.T) {
	t.Parallel()
	s := newStore(t, testenv.NeedFS(t, "ext4"), 2)
	seal(t, s.dir, Options{})
	if err := unix.Unmount(s.dir, 0); err != nil {
		t.Fatal(err)
	}
	setFlags(t, s.path("overlay/l"), s.flags(t)["overlay/l"]&^flagImmutable)
	if err := mountReadOnly(s.dir); err != nil {
		t.Fatal(err)
	}
	if r, err := State(t.Context(), s.dir); err != nil || r.Sealed() || !r.Mounted {
		t.Errorf("half sealed: %+v, %v", r, err)
	}
	if r := seal(t, s.dir, Options{NoMount: true}); !r.Sealed() || r.Changed != 1 {
		t.Errorf("completed: %+v", r)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	dir := testenv.NeedFS(t, "ext4")
	tests := []struct {
		name  string
		spoil func(s *fakeStore) error
		opts  Options
		want  func(error) bool
	}{
		{"no overlay-images", func(s *fakeStore) error { return os.RemoveAll(s.path("overlay-images")) }, Options{},
			func(err error) bool { return errors.Is(err, ErrNotAStore) }},
		{"overlay is a link", func(s *fakeStore) error {
			return errors.Join(os.Rename(s.path("overlay"), s.path("o")), os.Symlink("o", s.path("overlay")))
		}, Options{}, func(err error) bool { return errors.Is(err, ErrNotAStore) }},
		{"no lock", func(s *fakeStore) error { return os.Remove(s.path("overlay-images/images.lock")) }, Options{},
			func(err error) bool {
				return errors.Is(err, ErrLockFile) && strings.Contains(err.Error(), "images.lock")
			}},
		{"empty lock", func(s *fakeStore) error { return os.Truncate(s.path("overlay-layers/layers.lock"), 0) }, Options{},
			func(err error) bool {
				return errors.Is(err, ErrLockFile) && strings.Contains(err.Error(), "layers.lock")
			}},
		{"wrong label", func(s *fakeStore) error {
			return unix.Setxattr(s.path("overlay"), "security.selinux", []byte("system_u:object_r:var_t:s0\x00"), 0)
		}, Options{Label: "system_u:object_r:container_ro_file_t:s0"},
			func(err error) bool {
				var l *LabelError
				return errors.As(err, &l) && slices.Contains(l.Names, "overlay") && len(l.Names) > 3
			}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t, filepath.Join(dir, test.name), 2)
			if err := test.spoil(s); err != nil {
				t.Fatal(err)
			}
			if _, err := Seal(t.Context(), s.dir, test.opts); !test.want(err) {
				t.Errorf("error %v", err)
			}
			if got := s.immutable(t); got != nil {
				t.Errorf("flags were set: %s", got)
			}
		})
	}
	if _, err := State(t.Context(), filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

// TestLabel: a store with the label on everything is sealed.
func TestLabel(t *testing.T) {
	t.Parallel()
	const label = "system_u:object_r:container_ro_file_t:s0"
	s := newStore(t, testenv.NeedFS(t, "ext4"), 2)
	for _, path := range s.files(t) {
		if err := unix.Lsetxattr(path, "security.selinux", []byte(label+"\x00"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if r := seal(t, s.dir, Options{Label: label}); !r.Sealed() {
		t.Errorf("report %+v", r)
	}
}

// TestUnsupported: ramfs keeps no flags.
func TestUnsupported(t *testing.T) {
	t.Parallel()
	s := newStore(t, testenv.NeedFS(t, "ramfs"), 1)
	_, err := Seal(t.Context(), s.dir, Options{})
	var unsupported *UnsupportedError
	if !errors.As(err, &unsupported) || unsupported.FSType != "ramfs" {
		t.Fatalf("error %v, want an UnsupportedError naming ramfs", err)
	}
	t.Log(err)
	if at, err := mountsAt(s.dir); err != nil || len(at.self) != 0 {
		t.Errorf("mounted: %+v, %v", at, err)
	}
}

// TestTmpfs: it keeps flags from Linux 6.0 on, and says so clearly before.
func TestTmpfs(t *testing.T) {
	t.Parallel()
	s := newStore(t, testenv.NeedFS(t, "tmpfs"), 1)
	r, err := Seal(t.Context(), s.dir, Options{})
	var unsupported *UnsupportedError
	switch {
	case err == nil:
		if !r.Sealed() || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "memory") }) {
			t.Errorf("report %+v", r)
		}
	case !errors.As(err, &unsupported) || unsupported.FSType != "tmpfs":
		t.Errorf("error %v, want an UnsupportedError naming tmpfs", err)
	}
}

// TestStrayFlag: what chattr -R +i did to a layer is reported.
func TestStrayFlag(t *testing.T) {
	t.Parallel()
	s := newStore(t, testenv.NeedFS(t, "ext4"), 2)
	diff := "overlay/" + s.layers[0] + "/diff"
	setFlags(t, s.path(diff), s.flags(t)[diff]|flagImmutable)
	if r := seal(t, s.dir, Options{}); r.ImmutableDiffs != 1 || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "chattr") }) {
		t.Errorf("report %+v", r)
	}
}

func TestBusy(t *testing.T) {
	t.Parallel()
	s := newStore(t, t.TempDir(), 1)
	other, err := open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if err := other.lock(); err != nil {
		t.Fatal(err)
	}
	if _, err := Seal(t.Context(), s.dir, Options{}); !errors.Is(err, filelock.ErrBusy) {
		t.Errorf("Seal: %v, want ErrBusy", err)
	}
	if _, err := Unseal(t.Context(), s.dir); !errors.Is(err, filelock.ErrBusy) {
		t.Errorf("Unseal: %v, want ErrBusy", err)
	}
}

// TestThousandLayers says how long the seal of many layers takes; the benchmarks hold it
// to figures.
func TestThousandLayers(t *testing.T) {
	for _, fsType := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fsType, func(t *testing.T) {
			s := newStore(t, testenv.NeedFS(t, fsType), 1000)
			unix.Sync() // the fixture's own writes are not the seal's
			for _, pass := range []string{"seal", "again", "unseal"} {
				start := time.Now()
				if pass == "unseal" {
					unseal(t, s.dir)
				} else {
					seal(t, s.dir, Options{})
				}
				t.Logf("%s of %d targets: %v", pass, len(s.want()), time.Since(start))
			}
		})
	}
}
