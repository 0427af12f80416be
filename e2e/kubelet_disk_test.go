//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// testVolume mounts an image volume of an image that only a slot has: CRI-O cannot, and no
// pull helps. The audit's rule image-volume and docs/proof.md say so.
func (c *crioProof) testVolume(t *testing.T) {
	const gate = "featureGates: {ImageVolume: true}"
	k := c.sealedKube(t, gate)
	k.serve()
	for name, policy := range map[string]string{"volume": "IfNotPresent", "volume-always": "Always"} {
		k.static(name, sleeper(c.images.app, "IfNotPresent", ", volumeMounts: [{name: v, mountPath: /v}]")+
			fmt.Sprintf("  volumes: [{name: v, image: {reference: %q, pullPolicy: %s}}]\n", c.images.tagged, policy))
		message := k.waits(name, "CreateContainerError", "ImageVolumeMountFailed")
		t.Logf("an image volume, %s: %s", policy, message)
		if !strings.Contains(message, "layer not known") {
			t.Errorf("an image volume, %s, fails for another reason: %s", policy, message)
		}
	}
	// What the audit says to do in its place.
	k.static("copied", sleeper(c.images.app, "IfNotPresent", ", volumeMounts: [{name: v, mountPath: /v}], readinessProbe: {exec: {command: [/bin/test, -s, /v/release]}, periodSeconds: 1}")+
		"  initContainers: [{name: i, image: \""+c.images.tagged+"\", command: [/bin/busybox, cp, /data/release, /v/release], volumeMounts: [{name: v, mountPath: /v}]}]\n"+
		"  volumes: [{name: v, emptyDir: {}}]\n")
	k.isRunning("copied")
}

// imageFs shows what kubelet takes for the file system of images.
func (k *kubeNode) imageFs(t *testing.T) {
	t.Helper()
	type figures struct{ AvailableBytes, CapacityBytes, UsedBytes int64 }
	var summary struct {
		Node struct {
			Runtime struct{ ImageFs figures }
		}
	}
	k.wait("kubelet has figures of the images", func() bool {
		return json.Unmarshal(k.kubeletGet("/stats/summary"), &summary) == nil && summary.Node.Runtime.ImageFs.CapacityBytes > 0
	})
	fs := summary.Node.Runtime.ImageFs
	var slots int64
	for _, l := range harness.Layers(t, k.seen("a")) {
		slots += l.DiffSize
	}
	t.Logf("imageFs: %d bytes used of images (the layers of the slot have %d), %d available of %d", fs.UsedBytes, slots, fs.AvailableBytes, fs.CapacityBytes)
	if fs.UsedBytes >= slots {
		t.Errorf("imageFs counts the slot's layers among the used bytes: docs/node.md says that it does not")
	}
}
