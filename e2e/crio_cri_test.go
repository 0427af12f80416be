//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// pod starts a pod in the node's network and returns its ID and settings.
func (n *node) pod() (string, *cri.PodSandboxConfig) {
	n.t.Helper()
	n.count++
	config := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: fmt.Sprintf("pod-%d", n.count), Namespace: "e2e", Uid: fmt.Sprintf("uid-%d", n.count)},
		LogDirectory: n.path(fmt.Sprintf("podlogs/%d", n.count)),
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE},
		}},
	}
	resp, err := n.pods.RunPodSandbox(n.t.Context(), &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		n.t.Fatalf("starting a pod: %v", err)
	}
	return resp.PodSandboxId, config
}

// container starts a container of an image in a pod and returns its ID.
func (n *node) container(pod string, config *cri.PodSandboxConfig, image string, user int64, command ...string) string {
	n.t.Helper()
	created, err := n.create(pod, config, image, user, command...)
	if err != nil {
		n.t.Fatalf("creating a container of %s: %v", image, err)
	}
	if _, err := n.pods.StartContainer(n.t.Context(), &cri.StartContainerRequest{ContainerId: created}); err != nil {
		n.t.Fatalf("starting a container of %s: %v", image, err)
	}
	return created
}

// create creates a container of an image in a pod and returns its ID.
func (n *node) create(pod string, config *cri.PodSandboxConfig, image string, user int64, command ...string) (string, error) {
	n.count++
	c := &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: fmt.Sprintf("container-%d", n.count)},
		Image:    &cri.ImageSpec{Image: image, UserSpecifiedImage: image},
		Command:  command,
		LogPath:  fmt.Sprintf("%d.log", n.count),
		Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE},
			RunAsUser:        &cri.Int64Value{Value: user},
		}},
	}
	created, err := n.pods.CreateContainer(n.t.Context(), &cri.CreateContainerRequest{PodSandboxId: pod, Config: c, SandboxConfig: config})
	if err != nil {
		return "", err
	}
	return created.ContainerId, nil
}

// runPod runs a command in a pod of its own, which then goes, and returns what it
// printed.
func (n *node) runPod(image string, user int64, command ...string) string {
	n.t.Helper()
	pod, config := n.pod()
	id := n.container(pod, config, image, user, command...)
	status := n.await(id)
	out := n.logs(status.LogPath)
	if status.ExitCode != 0 {
		n.t.Fatalf("container of %s: exit code %d\n%s", image, status.ExitCode, out)
	}
	n.removePod(pod)
	return out
}

func (n *node) removePod(pod string) {
	n.t.Helper()
	if _, err := n.pods.StopPodSandbox(n.t.Context(), &cri.StopPodSandboxRequest{PodSandboxId: pod}); err != nil {
		n.t.Fatalf("stopping a pod: %v", err)
	}
	if _, err := n.pods.RemovePodSandbox(n.t.Context(), &cri.RemovePodSandboxRequest{PodSandboxId: pod}); err != nil {
		n.t.Fatalf("removing a pod: %v", err)
	}
}

// await waits for the end of a container.
func (n *node) await(id string) *cri.ContainerStatus {
	n.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		resp, err := n.pods.ContainerStatus(n.t.Context(), &cri.ContainerStatusRequest{ContainerId: id})
		if err != nil {
			n.t.Fatal(err)
		}
		if resp.Status.State == cri.ContainerState_CONTAINER_EXITED {
			return resp.Status
		}
	}
	n.t.Fatal("the container does not end")
	return nil
}

func (n *node) running(id string) bool {
	n.t.Helper()
	resp, err := n.pods.ContainerStatus(n.t.Context(), &cri.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.Status.State == cri.ContainerState_CONTAINER_RUNNING
}

// logs is what a container printed, without CRI's words before each line.
func (n *node) logs(path string) string {
	n.t.Helper()
	var b strings.Builder
	for line := range strings.Lines(string(harness.ReadFile(n.t, path))) {
		if parts := strings.SplitN(line, " ", 4); len(parts) == 4 {
			b.WriteString(parts[3])
		}
	}
	return b.String()
}

// present reports whether CRI-O has the image, as kubelet asks with IfNotPresent.
func (n *node) present(image string) *cri.Image {
	n.t.Helper()
	resp, err := n.images.ImageStatus(n.t.Context(), &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: image}})
	if err != nil {
		n.t.Fatalf("asking for %s: %v", image, err)
	}
	return resp.Image
}

// pull is what kubelet asks for with Always.
func (n *node) pull(ctx context.Context, image string) error {
	_, err := n.images.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: image}})
	return err
}

// primary is what the primary store holds: layers, images, and bytes of files.
func (n *node) primary() (layers, images int, size int64) {
	n.t.Helper()
	if _, err := os.Stat(n.path("graph/overlay-layers/layers.json")); err == nil {
		layers = len(harness.Layers(n.t, n.path("graph")))
	}
	if _, err := os.Stat(n.path("graph/overlay-images/images.json")); err == nil {
		images = len(harness.Images(n.t, n.path("graph")))
	}
	_ = filepath.WalkDir(n.path("graph"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	return layers, images, size
}
