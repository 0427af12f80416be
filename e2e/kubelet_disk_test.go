//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// testVolume mounts an image volume of an image that only a slot has: CRI-O cannot, and no
// pull helps. The audit's rule image-volume, docs/node.md and docs/proof.md say so. A copy
// in the primary store, which the node's own skopeo makes, is mounted with no restart.
func (c *crioProof) testVolume(t *testing.T) {
	const gate = "featureGates: {ImageVolume: true}"
	k := newKubeNode(t, c.images.pause)
	k.pins = true
	c.fill(k.node, c.images.bundle)
	k.pullHere()
	k.serve()
	k.start()
	k.startKubelet(gate)
	const mounts, ready = ", volumeMounts: [{name: v, mountPath: /v}]", ", readinessProbe: {exec: {command: [/bin/test, -s, /v/%s]}, periodSeconds: 1}"
	volumes := map[string]struct{ image, policy string }{
		"volume":        {c.images.tagRef, "IfNotPresent"},
		"volume-always": {c.images.tagged, "Always"},
	}
	for name, v := range volumes {
		k.static(name, sleeper(c.images.app, "IfNotPresent", mounts+fmt.Sprintf(ready, "data/release"))+
			fmt.Sprintf("  volumes: [{name: v, image: {reference: %q, pullPolicy: %s}}]\n", v.image, v.policy))
		message := k.waits(name, "CreateContainerError", "ImageVolumeMountFailed")
		t.Logf("an image volume, %s: %s", v.policy, message)
		if !strings.Contains(message, "layer not known") {
			t.Errorf("an image volume, %s, fails for another reason: %s", v.policy, message)
		}
	}
	// What the audit says to do in its place.
	k.static("copied", sleeper(c.images.app, "IfNotPresent", mounts+fmt.Sprintf(ready, "release"))+
		"  initContainers: [{name: i, image: \""+c.images.tagged+"\", command: [/bin/busybox, cp, /data/release, /v/release], volumeMounts: [{name: v, mountPath: /v}]}]\n"+
		"  volumes: [{name: v, emptyDir: {}}]\n")
	k.isRunning("copied")

	k.copyToPrimary(c.images.tagRef, c.images.volumeRef())
	for name := range volumes {
		k.isRunning(name)
	}
	k.noLayers()
	if image := k.present(c.images.volumeRef()); image == nil || !image.Pinned {
		t.Errorf("kubelet may remove the copy: it is not pinned: %v", image)
	}
}

// volumeRef is the name of a copy for an image volume, which the pins of the repository have.
func (images *crioImages) volumeRef() string {
	return strings.TrimSuffix(images.tagged, ":v1") + ":image-volume"
}

// copyToPrimary is the command of docs/node.md: skopeo copies an image out of slot a into
// the primary store, while CRI-O runs. It names both stores, and storage.conf none: a
// reader of the slots would take layers to be there already.
func (k *kubeNode) copyToPrimary(image, name string) {
	k.t.Helper()
	started := time.Now()
	k.must("env", "CONTAINERS_STORAGE_CONF=/dev/null", "skopeo", "copy", "--quiet",
		"containers-storage:[overlay@"+k.path("copy")+"+"+k.path("copyrun")+":overlay.imagestore="+k.slot("a")+"]"+image,
		"containers-storage:[overlay@"+k.path("graph")+"+"+k.path("run")+"]"+name)
	layers, _, _ := k.primary()
	k.t.Logf("copied in %v: the primary store has %d layers", time.Since(started).Round(10*time.Millisecond), layers)
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
	slots := k.layerBytes()
	t.Logf("imageFs: %d bytes used of images (the layers of the slot have %d), %d available of %d", fs.UsedBytes, slots, fs.AvailableBytes, fs.CapacityBytes)
	if fs.UsedBytes >= slots {
		t.Errorf("imageFs counts the slot's layers among the used bytes: docs/node.md says that it does not")
	}
}
