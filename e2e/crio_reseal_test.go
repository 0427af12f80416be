//go:build e2e

package e2e

import (
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// testReseal brings another release into the free slot under a running CRI-O, and
// retires the old one as soon as nothing needs it.
func (c *crioProof) testReseal(t *testing.T) {
	next := makeCRIOImages(t, "two")
	n := c.answered(t)
	image := c.images.tagRef // with a layer that the next release has not
	if err := n.pull(t.Context(), image); err != nil {
		t.Fatal(err)
	}
	pod, config := n.pod()
	old := n.container(pod, config, image, 0, "/bin/sh", "-c", forever)
	if n.present(next.app) != nil {
		t.Fatal("the new release is there before it was imported")
	}
	n.run("reseal", next.bundle, "--root", n.path("slots"))
	for _, image := range append(next.all, c.images.all...) {
		if n.present(image) == nil {
			t.Errorf("CRI-O, which was not restarted, does not have %s", image)
		}
	}
	if got := n.runPod(next.tagRef, 0, "/bin/cat", "/data/release"); got != "two\n" {
		t.Errorf("a container of the new release says %q", got)
	}
	before := harness.ReadTree(t, n.seen("a"))
	n.refusesToRetire("container", image, "which runs from it")
	if !n.running(old) {
		t.Error("the container of the old release has ended")
	}
	n.removePod(pod)
	n.refusesToRetire("image", image)
	for _, line := range harness.Diff(before, harness.ReadTree(t, n.seen("a")), nil) {
		t.Errorf("the old store after retire has refused: %s", line)
	}
	n.removeImage(image)
	t.Logf("%s", n.run(n.retireArgs()...))
	c.retired(n, next)
}

// retired holds that only the next release is there, also after a restart of CRI-O
// with its pause image.
func (c *crioProof) retired(n *node, next *crioImages) {
	n.t.Helper()
	for _, image := range c.images.all {
		if n.present(image) != nil {
			n.t.Errorf("after retire CRI-O still has %s", image)
		}
	}
	n.stop()
	n.pause = next.pause
	n.start()
	for _, image := range next.all {
		if n.present(image) == nil {
			n.t.Errorf("after retire CRI-O does not have %s", image)
		}
	}
	if got := n.runPod(next.tagRef, 0, "/bin/cat", "/data/release"); got != "two\n" {
		n.t.Errorf("after retire a container of the new release says %q", got)
	}
	n.run(n.statusArgs()...)
}

// retireArgs name no slot: the older one is meant.
func (n *node) retireArgs() []string {
	return []string{"retire", "--root", n.path("slots"), "--storage-conf", n.path("storage.conf")}
}

// refusesToRetire holds that retire exits with 5 and says all the words.
func (n *node) refusesToRetire(words ...string) {
	n.t.Helper()
	const exitPrecondition = 5
	out := n.nodeseal(n.retireArgs()...)
	if out.Code != exitPrecondition {
		n.t.Fatalf("nodeseal retire: exit code %d, want %d\n%s%s", out.Code, exitPrecondition, out.Stdout, out.Stderr)
	}
	n.t.Logf("nodeseal retire: %s", out.Stderr)
	for _, word := range words {
		if !strings.Contains(string(out.Stderr), word) {
			n.t.Errorf("nodeseal retire does not say %q:\n%s", word, out.Stderr)
		}
	}
}

// removeImage is what kubelet's garbage collection asks for. CRI-O removes the
// record of an image that was pulled over the sealed store, and then answers that
// it does not know the layer: that is the store's.
func (n *node) removeImage(image string) {
	n.t.Helper()
	found := n.present(image)
	if found == nil {
		n.t.Fatalf("CRI-O does not have %s", image)
	}
	_, err := n.images.RemoveImage(n.t.Context(), &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: found.Id}})
	if err != nil && !strings.Contains(err.Error(), "layer not known") {
		n.t.Fatalf("removing %s: %v", image, err)
	}
	if _, images, _ := n.primary(); images != 0 {
		n.t.Fatalf("the primary store has %d images after the removal, want none; removing said %v", images, err)
	}
}
