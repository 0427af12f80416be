//go:build e2evm

// Package vm boots machines: QEMU, Debian's kernel and systemd, USB, the device manager, and a
// power switch. They have the program and the units that `nodeseal config units` prints.
// make e2e-vm runs the tests, as root; without KVM a boot takes a minute.
package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// program is where the node has it.
const program = "/var/usrlocal/bin/nodeseal"

// fileContexts are the labels of the machine's policy.
const fileContexts = "/etc/selinux/default/contexts/files/file_contexts"

// readOnlyLabel is what containers may read.
const readOnlyLabel = "system_u:object_r:container_ro_file_t:s0"

// node is a machine's disks.
type node struct {
	dir     string
	built   string   // with the kernel
	disk    string   // the root file system
	data    []string // other disks, the first is /var/lib/shared
	boots   int
	selinux bool // enforcing
}

// newNode returns a node that was configured and has never been on, with a disk for each of
// the types of file systems. The slots are on the first.
func newNode(t *testing.T, fsTypes ...string) *node {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "qemu-system-x86_64")
	n := &node{dir: t.TempDir(), built: os.Getenv("NODESEAL_VM")}
	_, err := os.Stat(filepath.Join(n.built, "key"))
	testenv.Require(t, err == nil, "the test needs a machine, built by e2e/tools/vm/build.sh, in NODESEAL_VM: %v", err)
	n.disk = filepath.Join(n.dir, "disk")
	harness.Must(t, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", common.root(t, n.built), n.disk)
	for i, fsType := range fsTypes {
		data := filepath.Join(n.dir, fmt.Sprintf("data-%d", i))
		harness.Must(t, "truncate", "-s", "512M", data)
		harness.Must(t, "mkfs."+fsType, "-q", data)
		label(t, data)
		n.data = append(n.data, data)
	}
	return n
}

// configure writes the program and its configuration to the root file system.
func configure(t *testing.T, disk string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	harness.Must(t, "mount", "-o", "loop", disk, root)
	defer testenv.Unmount(t, root)
	harness.Must(t, "cp", harness.Binary(t), root+program)
	release := filepath.Join(t.TempDir(), "release.tar.zst")
	makeRelease(t, release, 1)
	harness.MustNodeseal(t, "config", "units", "--pin", "example.com/*", "--bundle", release, "--no-registries", "-o", root)
	for _, unit := range []string{"nodeseal-slots.service", "nodeseal-import.service", "nodeseal-serve.service", "nodeseal-hosts.service", "var-lib-shared-nodeseal-a.mount", "var-lib-shared-nodeseal-b.mount"} {
		harness.Must(t, "systemctl", "--quiet", "--root="+root, "enable", unit)
	}
	from := harness.WriteFile(t, "storage.conf", "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\ngraphroot = \"/var/lib/containers/storage\"\n")
	conf := harness.MustNodeseal(t, "config", "storage.conf", "--from", from, "--store", slot.DefaultRoot+"/a", "--store", slot.DefaultRoot+"/b")
	if err := os.MkdirAll(filepath.Join(root, "etc/containers"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/containers/storage.conf"), conf.Stdout, 0o644); err != nil {
		t.Fatal(err)
	}
	addCRIO(t, root)
	harness.Must(t, "mount", "-t", "proc", "proc", root+"/proc") // setfiles finds files there
	defer testenv.Unmount(t, root+"/proc")
	harness.Must(t, "chroot", root, "setfiles", "-F", fileContexts, "/usr/local", "/var/usrlocal", "/etc")
}

// label gives the root of a new file system the label of what the policy has it mounted at.
func label(t *testing.T, disk string) {
	t.Helper()
	at := t.TempDir()
	harness.Must(t, "mount", "-o", "loop", disk, at)
	defer testenv.Unmount(t, at)
	setLabel(t, at, readOnlyLabel)
}

func setLabel(t *testing.T, path, label string) {
	t.Helper()
	harness.Must(t, "setfattr", "-n", "security.selinux", "-v", label+"\\000", path)
}

// makeRelease writes a bundle. Releases share a layer, and each has one of many files.
func makeRelease(t *testing.T, path string, version int) {
	t.Helper()
	src := storetest.NewSource(t, bundle.Expanded)
	base := storetest.Tar(t, storetest.Dir("etc/"), storetest.File("etc/base", "the same in all releases\n"))
	own := []storetest.Entry{storetest.Dir("opt/")}
	for i := range 300 {
		own = append(own, storetest.File(fmt.Sprintf("opt/%d", i), fmt.Sprintf("file %d of release %d\n", i, version)))
	}
	src.Add(storetest.Image{Repository: "example.com/base", Layers: [][]byte{base}})
	src.Add(storetest.Image{Repository: "example.com/app", Layers: [][]byte{base, storetest.Tar(t, own...)}})
	src.Edit(func(inv *bundle.Inventory) { inv.Release = &bundle.Release{Version: fmt.Sprintf("4.99.%d", version)} })
	src.WriteRaw(t, path, src.RawInventory())
}

// makeStick returns the image of a stick with FAT and a label, with what dir holds.
func makeStick(t *testing.T, dir, label string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "stick")
	harness.Must(t, "truncate", "-s", "160M", image)
	harness.Must(t, "mkfs.vfat", "-n", label, image)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	harness.Must(t, "mcopy", append(append([]string{"-i", image}, files...), "::/")...)
	return image
}

// readStick returns the result that an import left on a stick.
func readStick(t *testing.T, image string) string {
	t.Helper()
	dir := t.TempDir()
	harness.Must(t, "mcopy", "-n", "-i", image, "::/result-*.txt", dir)
	found, err := filepath.Glob(filepath.Join(dir, "result-*.txt"))
	if err != nil || len(found) != 1 {
		t.Fatalf("results on the stick: %v, %v", found, err)
	}
	return string(harness.ReadFile(t, found[0]))
}
