//go:build e2e

package e2e

import (
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// ownersScript prints the pod's range of IDs, who runs, and the owners of files: the
// image's, and those that the container changes and makes.
const ownersScript = `read inside outside size < /proc/self/uid_map && echo $inside $outside $size
id -u
stat -c '%u:%g %a %n' /bin/busybox /bin/who /capable/owned
cat /data/append
echo more >> /data/append && rm /data/remove && echo made > /data/made
stat -c '%u:%g %n' /data/append /data/made
`

const owners = `0 458752 65536
0
0:0 755 /bin/busybox
0:0 4755 /bin/who
1000:1001 640 /capable/owned
image
0:0 /data/append
0:0 /data/made
`

// testHostUsers runs a pod of hostUsers: false, as kubelet asks for it, from the sealed
// store. Files have the owners that the image gives them, within the pod's IDs, and no
// layer is copied for that: the kernel maps the IDs of the layers where they lie.
func (c *crioProof) testHostUsers(t *testing.T) {
	n := c.withRuntime(t)
	// The pod cannot have the node's network, as the other pods of these tests.
	n.write("cni/10-lo.conflist", `{"cniVersion": "1.0.0", "name": "lo", "plugins": [{"type": "loopback"}]}`)
	before := harness.ReadTree(t, n.seen("a"))
	n.start()
	mapping := []*cri.IDMapping{{HostId: 458752, Length: 65536}}
	namespaces := &cri.NamespaceOption{UsernsOptions: &cri.UserNamespace{Mode: cri.NamespaceMode_POD, Uids: mapping, Gids: mapping}}
	config := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: "users", Namespace: "e2e", Uid: "users"},
		LogDirectory: n.path("podlogs"),
		Linux:        &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: namespaces}},
	}
	pod, err := n.pods.RunPodSandbox(n.t.Context(), &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		t.Fatalf("starting a pod of hostUsers: false: %v", err)
	}
	created, err := n.pods.CreateContainer(t.Context(), &cri.CreateContainerRequest{PodSandboxId: pod.PodSandboxId, SandboxConfig: config, Config: &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "users"},
		Image:    &cri.ImageSpec{Image: c.images.app, UserSpecifiedImage: c.images.app},
		Command:  []string{"/bin/sh", "-c", ownersScript},
		LogPath:  "users.log",
		Linux:    &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: namespaces}},
	}})
	if err == nil {
		_, err = n.pods.StartContainer(t.Context(), &cri.StartContainerRequest{ContainerId: created.ContainerId})
	}
	if err != nil {
		t.Fatalf("starting a container of hostUsers: false: %v", err)
	}
	if got := n.logs(n.await(created.ContainerId).LogPath); got != owners {
		t.Errorf("the container printed\n%s\nwant\n%s", got, owners)
	}
	_, _, size := n.primary()
	t.Logf("with a pod of hostUsers: false the primary store has %d bytes", size)
	if size > 1<<20 { // busybox alone, in two layers of the image, is more
		t.Errorf("the primary store has %d bytes: files of the image were copied", size)
	}
	n.removePod(pod.PodSandboxId)
	for _, line := range harness.Diff(before, harness.ReadTree(t, n.seen("a")), nil) {
		t.Errorf("the store after the pod: %s", line)
	}
}
