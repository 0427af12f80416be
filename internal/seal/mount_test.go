package seal

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	const head = "1 0 8:1 / / rw - ext4 d rw\n"
	tests := []struct {
		name, dir, table string
		fsType           string
		self             int
		readOnly         bool
	}{
		{"root only", "/s", head, "ext4", 0, false},
		{"over itself", "/s", head + "2 1 8:1 /s /s ro,relatime - ext4 d rw\n", "ext4", 1, true},
		{"over itself, not read-only", "/s", head + "2 1 8:1 /s /s rw - ext4 d rw\n", "ext4", 1, false},
		{"twice, upper first", "/s", head + "3 2 8:1 /s /s ro - ext4 d rw\n2 1 8:1 /s /s rw - ext4 d rw\n", "ext4", 2, true},
		{"another folder of the disk", "/s", head + "2 1 8:1 /t /s ro - ext4 d rw\n", "ext4", 0, false},
		{"a file system of its own", "/s", head + "2 1 8:2 / /s rw - xfs e rw\n", "xfs", 0, false},
		{"that over itself", "/s", head + "2 1 8:2 / /s rw - xfs e rw\n3 2 8:2 / /s ro - xfs e rw\n", "xfs", 1, true},
		{"subvolume", "/v/s", head + "2 1 0:3 /sub /v rw - btrfs f rw\n3 2 0:3 /sub/s /v/s ro - btrfs f rw\n", "btrfs", 1, true},
		{"hidden by a later mount", "/v/s", head + "2 1 8:1 /v/s /v/s ro - ext4 d rw\n3 1 8:2 / /v rw - xfs e rw\n", "xfs", 0, false},
		{"not a parent by path", "/store", head + "2 1 8:2 / /s rw - xfs e rw\n", "ext4", 0, false},
		{"space in the name", "/a b", head + "2 1 8:1 /a\\040b /a\\040b ro - ext4 d rw\n", "ext4", 1, true},
		{"root over the first root", "/s", "1 1 0:1 / / rw - rootfs r rw\n2 1 8:1 / / rw - ext4 d rw\n3 2 8:1 /s /s ro - ext4 d rw\n",
			"ext4", 1, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			all, err := mountinfo.GetMountsFromReader(strings.NewReader(test.table), covering(test.dir))
			if err != nil {
				t.Fatal(err)
			}
			at, err := resolve(test.dir, all)
			if err != nil {
				t.Fatal(err)
			}
			if at.fsType() != test.fsType || len(at.self) != test.self || at.readOnly() != test.readOnly {
				t.Errorf("type %s, %d over itself, read-only %t", at.fsType(), len(at.self), at.readOnly())
			}
		})
	}
	if _, err := resolve("/s", nil); err == nil {
		t.Error("no error without any mount")
	}
}

// TestBind is the way of older kernels: the flags of the mount below stay, and
// a mount that was left writable is replaced.
func TestBind(t *testing.T) {
	t.Parallel()
	dir := testenv.NeedFS(t, "ext4")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME, ""); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, dir, 1)
	if err := unix.Mount(s.dir, s.dir, "", unix.MS_BIND, ""); err != nil { // as if killed between the two steps
		t.Fatal(err)
	}
	for name, mount := range map[string]func() error{
		"attach": func() error { return mountReadOnly(s.dir) },
		"bind": func() error {
			at, err := mountsAt(s.dir)
			return errors.Join(err, at.unmount(), bind(s.dir, at.under))
		},
	} {
		if err := mount(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		at, err := mountsAt(s.dir)
		if err != nil || len(at.self) != 1 || !at.readOnly() {
			t.Fatalf("%s: %+v, %v", name, at, err)
		}
		for _, want := range []string{"nosuid", "nodev", "noatime"} {
			if !strings.Contains(at.self[0].Options, want) {
				t.Errorf("%s: options %s lack %s", name, at.self[0].Options, want)
			}
		}
	}
}

// TestPropagation: where another mount namespace sees the store, it sees it
// sealed, and unsealed again.
func TestPropagation(t *testing.T) {
	t.Parallel()
	dir := testenv.NeedFS(t, "ext4")
	peer := filepath.Join(t.TempDir(), "peer")
	if err := os.Mkdir(peer, 0o700); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, dir, 1)
	err := errors.Join(unix.Mount("", dir, "", unix.MS_SHARED, ""), unix.Mount(dir, peer, "", unix.MS_BIND, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(peer, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	inside := filepath.Join(peer, "store", "overlay", s.layers[0], "diff", "new")
	seal(t, s.dir, Options{})
	if err := os.WriteFile(inside, nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("write through the peer: %v, want EROFS", err)
	}
	unseal(t, s.dir)
	if err := os.WriteFile(inside, nil, 0o600); err != nil {
		t.Errorf("write through the peer after unseal: %v", err)
	}
}

// without runs f on a thread that lacks a capability and ends with it.
func without(t *testing.T, capability int, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var sets [2]unix.CapUserData
		err := unix.Capget(&header, &sets[0])
		sets[capability/32].Effective &^= 1 << (capability % 32)
		if err = errors.Join(err, unix.Capset(&header, &sets[0])); err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestPrivilege: who may not seal is told what is lacking.
func TestPrivilege(t *testing.T) {
	t.Parallel()
	s := newStore(t, testenv.NeedFS(t, "ext4"), 1)
	check := func(what, capability string, err error) {
		t.Helper()
		var privilege *PrivilegeError
		if !errors.As(err, &privilege) || privilege.Capability != capability || !errors.Is(err, os.ErrPermission) {
			t.Errorf("%s: %v, want a PrivilegeError about %s", what, err, capability)
		}
	}
	without(t, unix.CAP_LINUX_IMMUTABLE, func() {
		_, err := Seal(t.Context(), s.dir, Options{})
		check("set flags", "CAP_LINUX_IMMUTABLE", err)
	})
	without(t, unix.CAP_SYS_ADMIN, func() {
		_, err := Seal(t.Context(), s.dir, Options{})
		check("mount", "CAP_SYS_ADMIN", err)
	})
	seal(t, s.dir, Options{})
	without(t, unix.CAP_SYS_ADMIN, func() {
		_, err := Unseal(t.Context(), s.dir)
		check("unmount", "CAP_SYS_ADMIN", err)
	})
	without(t, unix.CAP_LINUX_IMMUTABLE, func() {
		_, err := Unseal(t.Context(), s.dir)
		check("clear flags", "CAP_LINUX_IMMUTABLE", err)
	})
}
