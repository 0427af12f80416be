//go:build e2e

package e2e

import (
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// testUsers has kubelet run a pod of hostUsers: false from the sealed store, with crun:
// kubelet chooses its IDs, which the kernel maps on the layers where they lie.
func (c *crioProof) testUsers(t *testing.T) {
	k := newKubeNode(t, c.images.pause)
	k.runtime = builtTool(t, "crun")
	k.withoutUnified()
	// The node's /proc has files mounted over it, below which a container with IDs of its
	// own gets none: the kernel wants to see a whole one.
	k.must("sh", "-c", "mkdir $0 && mount -t proc proc $0", k.path("proc"))
	c.fill(k.node, c.images.bundle)
	before := harness.ReadTree(t, k.seen("a"))
	k.start()
	k.startKubelet("")
	// With IDs of its own the pod cannot have the node's network.
	k.manifest("users", strings.Replace(podText("users", sleeper(c.images.app, "Never", "")), "hostNetwork: true", "hostUsers: false", 1))
	_, id, _ := strings.Cut(k.isRunning("users").ContainerID, "://")
	out, err := k.pods.ExecSync(t.Context(), &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"/bin/sh", "-c", ownersScript}, Timeout: 30})
	if err != nil || out.ExitCode != 0 {
		t.Fatalf("owners of files: %v, %v", err, out)
	}
	ids, got, _ := strings.Cut(string(out.Stdout), "\n")
	if _, want, _ := strings.Cut(owners, "\n"); got != want {
		t.Errorf("the container printed\n%s\nwant\n%s", got, want)
	}
	if words := strings.Fields(ids); len(words) != 3 || words[0] != "0" || words[1] == "0" || words[2] != "65536" {
		t.Errorf("the pod has the IDs %q", ids)
	}
	t.Logf("the pod has the IDs %s", ids)
	if _, _, size := k.primary(); size > 1<<20 {
		t.Errorf("the primary store has %d bytes: files of the image were copied", size)
	}
	k.unstatic("users")
	for _, line := range harness.Diff(before, harness.ReadTree(t, k.seen("a")), nil) {
		t.Errorf("the store after the pod: %s", line)
	}
}
