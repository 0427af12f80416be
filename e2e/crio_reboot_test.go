//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// testReboots is the field report's three reboots. After each, pods start from
// the sealed store with no network, whatever became of the primary store.
func (c *crioProof) testReboots(t *testing.T) {
	for _, reboot := range []struct {
		name string
		down func(*node)
		up   func(*node)
		// kept says that the primary store is there afterwards.
		kept bool
	}{
		{"clean stop", func(n *node) { n.stop(); n.powerCut() }, nil, true},
		{"everything killed", func(n *node) { n.kill(syscall.SIGKILL); n.killAll() }, nil, false},
		{"power cut", (*node).powerCut, (*node).wipe, false},
	} {
		t.Run(reboot.name, func(t *testing.T) {
			n := c.answered(t)
			if err := n.pull(t.Context(), c.images.app); err != nil { // a record in the primary store
				t.Fatal(err)
			}
			pod, config := n.pod()
			n.container(pod, config, c.images.app, 0, "/bin/sh", "-c", forever)
			before := harness.ReadTree(t, n.seen("a"))
			reboot.down(n)
			started := time.Now()
			if reboot.up != nil {
				reboot.up(n)
			}
			c.remount(n)
			n.start()
			up := time.Since(started)
			_, images, _ := n.primary()
			for _, image := range []string{c.images.app, c.images.tagged, c.images.listed} {
				n.runPod(image, 0, "/bin/true")
			}
			t.Logf("after %s: CRI-O answers in %v, three pods have run in %v; the primary store has %d of 1 images",
				reboot.name, up.Round(time.Millisecond), time.Since(started).Round(time.Millisecond), images)
			if reboot.kept != (images == 1) {
				t.Errorf("the primary store has %d images, kept: want %v", images, reboot.kept)
			}
			for _, line := range harness.Diff(before, harness.ReadTree(t, n.seen("a")), nil) {
				t.Errorf("the store after a reboot: %s", line)
			}
		})
	}
}

// remount takes the mount of slot a away, as the end of a kernel does, and brings
// it back, as the node's unit does.
func (c *crioProof) remount(n *node) {
	n.t.Helper()
	n.must("umount", "--lazy", n.slot("a"))
	n.run("mount", "--root", n.path("slots"))
}

// wipe is what crio-wipe.service does before CRI-O starts. It may repair the primary store
// instead of removing it; CRI-O then finds at its start that it has to go. Either way there
// are no images in it, which testReboots looks at.
func (n *node) wipe() {
	n.t.Helper()
	words := append(n.crioWords(), "wipe")
	if out, err := n.command(words...).CombinedOutput(); err != nil {
		n.t.Fatalf("crio wipe: %v\n%s", err, out)
	}
	if _, err := os.Stat(n.path("graph")); err == nil {
		n.t.Log("crio wipe has left the primary store to CRI-O")
	}
}

// testCollection does what kubelet's garbage collection of images does.
func (c *crioProof) testCollection(t *testing.T) {
	for _, pins := range []bool{false, true} {
		t.Run(fmt.Sprintf("pins %v", pins), func(t *testing.T) { c.collect(t, pins) })
	}
}

func (c *crioProof) collect(t *testing.T, pins bool) {
	n := newNode(t, c.images.pause)
	n.pins = pins
	c.fill(n, c.images.bundle)
	before := harness.ReadTree(t, n.seen("a"))
	n.start()
	list, err := n.images.ListImages(t.Context(), &cri.ListImagesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	usage, err := n.images.ImageFsInfo(t.Context(), &cri.ImageFsInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	pinned, refused := 0, 0
	for _, img := range list.Images {
		if img.Pinned {
			pinned++
			continue // kubelet leaves pinned images alone
		}
		if _, err := n.images.RemoveImage(t.Context(), &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: img.Id}}); err != nil {
			refused++
			if refused == 1 {
				t.Logf("removing a read-only image: %v", err)
			}
		}
	}
	t.Logf("%d images listed, %d pinned, %d removals refused; %d bytes used in %s",
		len(list.Images), pinned, refused, usage.ImageFilesystems[0].UsedBytes.GetValue(), filepath.Base(usage.ImageFilesystems[0].FsId.Mountpoint))
	if pins && pinned != len(list.Images) {
		t.Errorf("%d of %d images are pinned", pinned, len(list.Images))
	}
	for _, image := range c.images.all {
		if n.present(image) == nil {
			t.Errorf("after the collection CRI-O does not have %s", image)
		}
	}
	n.runPod(c.images.app, 0, "/bin/true")
	for _, line := range harness.Diff(before, harness.ReadTree(t, n.seen("a")), nil) {
		t.Errorf("the store after the collection: %s", line)
	}
}
