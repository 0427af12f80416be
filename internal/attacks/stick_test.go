//go:build attacks

package attacks

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/rmtree"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// emptyBundle writes a bundle without images.
func emptyBundle(t *testing.T, path string) {
	t.Helper()
	enc, err := seekable.NewEncoder(0, 1)
	must(t, err)
	out, err := os.Create(path)
	must(t, err)
	inv := bundle.Inventory{Format: bundle.FormatV1, Layers: bundle.Expanded, Encoder: enc.Name()}
	_, err = archive.Write(t.Context(), out, &inv, nil, enc, nil)
	must(t, errors.Join(err, out.Close()))
}

// mine makes a directory with a file that nothing may touch, and returns a check of it.
func mine(t *testing.T, name string) (dir string, untouched func(t *testing.T, o outcome)) {
	t.Helper()
	dir = t.TempDir()
	path := filepath.Join(dir, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte("mine"), 0o600))
	return dir, func(t *testing.T, _ outcome) {
		t.Helper()
		if data, err := os.ReadFile(path); err != nil || string(data) != "mine" {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
}

// emptySlots makes two empty slots that are not mounted.
func emptySlots(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "slots")
	root, err := slot.Open(dir, slot.Options{NoMount: true})
	must(t, err)
	_, err = root.Init(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, rmtree.RemoveAll(dir)) }) // with their flags
	return dir
}

// TestStickPipe takes a pipe for a bundle, with a link to endless zeros where the result
// is to be left.
func TestStickPipe(t *testing.T) {
	dir := t.TempDir()
	must(t, unix.Mkfifo(filepath.Join(dir, "x.tar.zst"), 0o600))
	result := filepath.Join(dir, "result-n.txt")
	must(t, os.Symlink("/dev/zero", result))
	attack{
		Name: "stick: a named pipe for the bundle, /dev/zero for the result", Before: "hangs for ever; out of memory",
		Exit: 1, Says: "a named pipe",
		After: func(t *testing.T, _ outcome) {
			if info, err := os.Lstat(result); err != nil || !info.Mode().IsRegular() {
				t.Errorf("the result: %v, %v", info, err)
			}
		},
	}.run(t, "import-stick", dir, "--root", emptySlots(t), "--node", "n")
}

// TestStickSignature takes endless zeros for a signature.
func TestStickSignature(t *testing.T) {
	dir := t.TempDir()
	emptyBundle(t, filepath.Join(dir, "x.tar.zst"))
	must(t, os.Symlink("/dev/zero", filepath.Join(dir, "x.tar.zst.sig")))
	public, _, err := ed25519.GenerateKey(nil)
	must(t, err)
	der, err := x509.MarshalPKIXPublicKey(public)
	must(t, err)
	key := filepath.Join(t.TempDir(), "key.pub")
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
	attack{
		Name: "stick: /dev/zero for the signature", Before: "out of memory",
		Exit: 1, Says: "a symbolic link",
	}.run(t, "import-stick", dir, "--root", emptySlots(t), "--node", "n", "--key", key)
}

// TestCarryLink fills a stick that has a link where its sums are written.
func TestCarryLink(t *testing.T) {
	from, dir := filepath.Join(t.TempDir(), "x.tar.zst"), t.TempDir()
	emptyBundle(t, from)
	away, untouched := mine(t, "file")
	must(t, os.Symlink(filepath.Join(away, "file"), filepath.Join(dir, "SHA256SUMS.partial")))
	attack{
		Name: "stick: a link to another file for SHA256SUMS.partial, carry", Before: "the other file is overwritten, exit 0",
		Exit: 1, Says: "SHA256SUMS.partial", After: untouched,
	}.run(t, "carry", dir, "--bundle", from)
}

// TestSlotPipe takes a pipe for the records of a slot.
func TestSlotPipe(t *testing.T) {
	dir := emptySlots(t)
	path := filepath.Join(dir, "a/overlay-images/images.json")
	clearFlags(t, filepath.Dir(path), path, filepath.Join(dir, "a/overlay"))
	must(t, os.Remove(path))
	must(t, os.MkdirAll(filepath.Join(dir, "a/overlay/layer/diff"), 0o755)) // else it is made again
	must(t, unix.Mkfifo(path, 0o600))
	attack{
		Name: "slot: a named pipe for images.json, retire", Before: "hangs for ever",
		Exit: 4, Says: "a named pipe",
	}.run(t, "retire", "a", "--root", dir)
}

// clearFlags takes the immutable flag away.
func clearFlags(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		f, err := os.Open(path)
		must(t, err)
		_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0) // tmpfs has none
		must(t, f.Close())
	}
}

// TestWorkLink cleans slots whose work directory is a link.
func TestWorkLink(t *testing.T) {
	dir := emptySlots(t)
	away, untouched := mine(t, "swap-a/file")
	must(t, os.RemoveAll(filepath.Join(dir, ".work")))
	must(t, os.Symlink(away, filepath.Join(dir, ".work")))
	attack{
		Name: "slot: a link for .work, clean", Before: "removes what it leads to, exit 0",
		Exit: 1, Says: ".work", After: untouched,
	}.run(t, "clean", "--root", dir)
}

// TestMountedInside cleans slots with something mounted in what is to go.
func TestMountedInside(t *testing.T) {
	dir := emptySlots(t)
	away, untouched := mine(t, "file")
	point := filepath.Join(dir, ".work/swap-a/inside")
	must(t, os.MkdirAll(point, 0o755))
	must(t, unix.Mount(away, point, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
	attack{
		Name: "slot: another file system mounted in .work/swap-a, clean", Before: "removes every file of it, exit 0",
		Exit: 5, Says: point, After: untouched,
	}.run(t, "clean", "--root", dir)
}

// TestMountedInsideMount mounts slots, as a unit does at each start, with something mounted
// in what it would remove.
func TestMountedInsideMount(t *testing.T) {
	dir := emptySlots(t)
	away, untouched := mine(t, "file")
	point := filepath.Join(dir, ".work/swap-a/inside")
	must(t, os.MkdirAll(point, 0o755))
	must(t, unix.Mount(away, point, "", unix.MS_BIND, ""))
	t.Cleanup(func() {
		for _, at := range []string{point, filepath.Join(dir, "a"), filepath.Join(dir, "b")} {
			_ = unix.Unmount(at, unix.MNT_DETACH)
		}
	})
	attack{
		Name: "slot: another file system mounted in .work/swap-a, mount", Before: "removes every file of it, exit 0",
		Exit: 5, Says: point, After: untouched,
	}.run(t, "mount", "--root", dir)
}

// TestOtherFileSystem plugs in a stick with a file system that no stick has: the kernel's code
// for it must not be run.
func TestOtherFileSystem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, os.Truncate(file, 320<<20))
	tool := func(name string, args ...string) string {
		out, err := exec.CommandContext(t.Context(), name, args...).Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return strings.TrimSpace(string(out))
	}
	tool("mkfs.btrfs", "-q", "-L", "NODESEAL", file)
	device := tool("losetup", "--find", "--show", file)
	t.Cleanup(func() { _ = exec.Command("losetup", "--detach", device).Run() })
	_, flags := disk(t)
	at := filepath.Join(t.TempDir(), "stick")
	attack{
		Name: "stick: a file system that no stick has (btrfs) behind the label", Before: "a mount unit mounts any file system with the label",
		Exit: 5, Says: "no file system that a stick may have",
		After: func(t *testing.T, _ outcome) {
			mounts, err := os.ReadFile("/proc/self/mounts")
			must(t, err)
			if strings.Contains(string(mounts), device+" ") {
				t.Errorf("%s is mounted", device)
			}
		},
	}.run(t, append([]string{"import-stick", at, "--device", device}, flags...)...)
}

// filledSlots makes slots of which a holds a bundle, as a directory that is not sealed.
func filledSlots(t *testing.T) (a string, flags []string) {
	t.Helper()
	root, flags := disk(t)
	path := filepath.Join(t.TempDir(), "x.tar.zst")
	src := storetest.NewLies(t)
	src.WriteRaw(t, path, src.RawInventory())
	if o := nodeseal(t, "", nil, nil, append([]string{"import", path, "--no-seal"}, flags...)...); o.Exit != 0 {
		t.Fatalf("import: %+v", o)
	}
	return filepath.Join(root, "a"), flags
}

// TestOverlayLink has a link in the place of a slot's layers.
func TestOverlayLink(t *testing.T) {
	for command, exit := range map[string]int{"retire": 4, "clean": 0} {
		a, flags := filledSlots(t)
		away, untouched := mine(t, "layer/diff/file")
		must(t, os.Rename(filepath.Join(a, "overlay"), filepath.Join(a, "old")))
		must(t, os.Symlink(away, filepath.Join(a, "overlay")))
		args := []string{command}
		if command == "retire" {
			args = append(args, "a")
		}
		attack{
			Name: "slot: a link for overlay, " + command, Before: "fails for both slots from then on",
			Exit: exit, After: untouched,
		}.run(t, append(args, flags...)...)
	}
}

// TestRetireMounted empties a slot in which something is mounted.
func TestRetireMounted(t *testing.T) {
	a, flags := filledSlots(t)
	away, untouched := mine(t, "file")
	point := filepath.Join(a, "overlay", "inside")
	must(t, os.MkdirAll(point, 0o755))
	must(t, unix.Mount(away, point, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
	attack{
		Name: "slot: another file system mounted in a slot, retire", Before: "removes every file of it, exit 0",
		Exit: 5, Says: point, After: untouched,
	}.run(t, append([]string{"retire", "a", "--empty-node"}, flags...)...)
}

// TestBundleLinkToCarry fills a stick that has a link where the bundle is written.
func TestBundleLinkToCarry(t *testing.T) {
	from, dir := filepath.Join(t.TempDir(), "x.tar.zst"), t.TempDir()
	emptyBundle(t, from)
	away, untouched := mine(t, "file")
	must(t, os.Symlink(filepath.Join(away, "file"), filepath.Join(dir, "x.tar.zst.partial")))
	attack{
		Name: "stick: a link to another file for x.tar.zst.partial, carry", Before: "the other file is overwritten, exit 0",
		Exit: 1, Says: "x.tar.zst.partial", After: untouched,
	}.run(t, "carry", dir, "--bundle", from)
}
