//go:build e2e

package e2e

import (
	"os"
	"syscall"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// TestRuntime is a round with crun, OpenShift's default runtime, in the place of Debian's
// runc: what depends on it, over both forms of a store.
func TestRuntime(t *testing.T) {
	crun := builtTool(t, "crun")
	images := makeCRIOImages(t, "one")
	for _, format := range []string{formatDir, formatImage} {
		t.Run(format, func(t *testing.T) {
			c := &crioProof{images: images, format: format, runtime: crun}
			t.Run("Round", c.testRound)
			t.Run("HostUsers", c.testHostUsers)
		})
	}
}

// testRound starts pods by digest and by tag, writes into an image's files, executes a
// command in a running container, and starts again after CRI-O was restarted, and after
// everything was killed.
func (c *crioProof) testRound(t *testing.T) {
	n := c.withRuntime(t)
	n.start()
	before := harness.ReadTree(t, n.seen("a"))
	n.runPod(c.images.tagged, 0, "/bin/true")
	if got, want := n.runPod(c.images.app, 0, "/bin/sh", "-c", appScript), appOutput; got != want {
		t.Errorf("the container printed\n%s\nwant\n%s", got, want)
	}
	pod, config := n.pod()
	id := n.container(pod, config, c.images.app, 0, "/bin/sh", "-c", forever)
	n.execs(id, "new\n", "cat", "/data/hidden/new")
	n.stop()
	n.start()
	if !n.running(id) {
		t.Error("a restart of CRI-O ends the container")
	}
	n.execs(id, "new\n", "cat", "/data/hidden/new")
	n.kill(syscall.SIGKILL)
	n.killAll()
	c.remount(n)
	n.start()
	n.runPod(c.images.app, 0, "/bin/true")
	if _, images, _ := n.primary(); images != 0 {
		t.Errorf("the primary store has %d images, want none", images)
	}
	for _, line := range harness.Diff(before, harness.ReadTree(t, n.seen("a")), nil) {
		t.Errorf("the store after the round: %s", line)
	}
}

// withRuntime is a node with the bundle in slot a. CRI-O does not run yet.
func (c *crioProof) withRuntime(t *testing.T) *node {
	t.Helper()
	n := newNode(t, c.images.pause)
	n.runtime = c.runtime
	c.fill(n, c.images.bundle)
	n.withoutUnified()
	return n
}

// withoutUnified takes version 2 of control groups away where it has a controller beside
// version 1, as on no node of OpenShift: crun gives up there.
func (n *node) withoutUnified() {
	const unified = "/sys/fs/cgroup/unified"
	if _, err := os.Stat(unified); err == nil {
		n.must("umount", "--lazy", unified)
	}
}

// execs holds what a command prints in a running container.
func (n *node) execs(id, want string, command ...string) {
	n.t.Helper()
	out, err := n.pods.ExecSync(n.t.Context(), &cri.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: 30})
	if err != nil || out.ExitCode != 0 || string(out.Stdout) != want {
		n.t.Errorf("%q in a container: %v, %v, want %q", command, out, err, want)
	}
}
