//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// smallDisk mounts a new file system of 512 MiB and returns where.
func smallDisk(t *testing.T) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk")
	dir, err := os.MkdirTemp("", "nsk") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	harness.Must(t, "truncate", "-s", "512M", image)
	harness.Must(t, "mkfs.ext4", "-q", "-m", "0", image)
	harness.Must(t, "mount", "-o", "loop", image, dir)
	t.Cleanup(func() {
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		_ = os.Remove(dir)
		_ = os.Remove(image)
	})
	return dir
}

// free is what kubelet takes for free on a file system.
func free(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// testPressure fills kubelet's disk over its threshold of eviction. As a directory the
// slot lies on that disk, and its images are not pinned; as an image the slot has a disk
// of its own, and all images are pinned.
func (c *crioProof) testPressure(t *testing.T) {
	shared := c.format == formatDir
	own, disk := smallDisk(t), smallDisk(t)
	t.Setenv("TMPDIR", disk)
	k := newKubeNode(t, c.images.pause)
	k.pins = !shared
	if !shared {
		k.must("mount", "--bind", own, k.path("slots"))
		k.run("mount", "--root", k.path("slots"))
	}
	before := free(t, disk)
	c.fill(k.node, c.images.bundle)
	taken, layers := before-free(t, disk), k.layerBytes()
	t.Logf("the slot with layers of %d bytes takes %d bytes of kubelet's disk", layers, taken)
	if shared != (taken > layers/2) {
		t.Errorf("a slot on kubelet's own disk: %v; its layers have %d bytes, and %d fewer are free", shared, layers, taken)
	}
	tree := harness.ReadTree(t, k.seen("a"))
	k.start()
	k.startKubelet(`evictionHard: {memory.available: 1Mi, nodefs.available: "20%", imagefs.available: "20%", nodefs.inodesFree: "0%", imagefs.inodesFree: "0%"}`)
	k.static("one", sleeper(c.images.app, "Never", ""))
	k.isRunning("one")
	full := oneLine("full: kubelet removes images")
	if out := k.nodeseal(k.statusArgs()...); strings.Contains(oneLine(string(out.Stdout)), full) {
		t.Errorf("status with room on the disk:\n%s", out.Stdout)
	}

	harness.Must(t, "fallocate", "-l", fmt.Sprint(free(t, disk)-60<<20), filepath.Join(disk, "logs"))
	if out := k.nodeseal(k.statusArgs()...); shared != strings.Contains(oneLine(string(out.Stdout)), full) {
		t.Errorf("status, of slots on kubelet's full disk: %v:\n%s", shared, out.Stdout)
	}
	t.Logf("kubelet: %s", k.says(`event="NodeHasDiskPressure"`))
	t.Logf("kubelet: %s", k.says(`"Eviction manager: cannot evict a critical pod"`))
	// When kubelet tries to remove what is not pinned depends on how busy the machine is.
	const removing = `"Removing image to free bytes"`
	if tried := strings.Contains(readAny(k.klog.Name()), removing); tried && k.pins {
		t.Errorf("kubelet tries to remove images, all of which are pinned")
	} else {
		t.Logf("kubelet has tried to remove images: %v", tried)
	}
	for _, image := range c.images.all {
		if k.present(image) == nil {
			t.Errorf("under pressure CRI-O does not have %s any more", image)
		}
	}
	// Kubelet starts no other pods now; the one that is critical runs on.
	k.isRunning("one")
	for _, line := range harness.Diff(tree, harness.ReadTree(t, k.seen("a")), nil) {
		t.Errorf("the store under pressure: %s", line)
	}
}

// layerBytes is what the layers of slot a have unpacked.
func (k *kubeNode) layerBytes() (n int64) {
	for _, l := range harness.Layers(k.t, k.seen("a")) {
		n += l.DiffSize
	}
	return n
}

// says waits until kubelet's log has a line with text in it, and returns the first.
func (k *kubeNode) says(text string) (found string) {
	k.t.Helper()
	k.wait("kubelet says "+text, func() bool {
		for line := range strings.Lines(readAny(k.klog.Name())) {
			if strings.Contains(line, text) {
				found = strings.TrimSpace(line)
				return true
			}
		}
		return false
	})
	return found
}
