//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// TestKubelet is the proof with a real kubelet, with the store as a directory and as an
// image: see docs/proof.md.
func TestKubelet(t *testing.T) {
	crioTools(t)
	images, next := makeCRIOImages(t, "one"), makeCRIOImages(t, "two")
	for _, format := range []string{formatDir, formatImage} {
		t.Run(format, func(t *testing.T) {
			c := &crioProof{images: images, format: format}
			t.Run("Static", func(t *testing.T) { c.testStatic(t, next) })
			t.Run("Volume", c.testVolume)
			t.Run("Pressure", c.testPressure)
			t.Run("HostUsers", c.testUsers)
			if format == formatDir {
				t.Run("NoDNS", c.testNoDNS)
			} else {
				t.Run("API", func(t *testing.T) { c.testAPI(t, next) })
			}
		})
	}
}

// sealedKube is a node with the bundle in slot a, the configuration of nodeseal config
// registries, CRI-O and kubelet running. nodeseal serve does not run yet.
func (c *crioProof) sealedKube(t *testing.T, settings string) *kubeNode {
	t.Helper()
	k := newKubeNode(t, c.images.pause)
	c.fill(k.node, c.images.bundle)
	k.pullHere()
	k.start()
	k.startKubelet(settings)
	return k
}

// testStatic runs static pods by every kind of reference and pull policy, one with an
// init container and probes. They run on while kubelet and CRI-O are restarted, and while
// another release comes into the free slot.
func (c *crioProof) testStatic(t *testing.T, next *crioImages) {
	k := c.sealedKube(t, "")
	before := harness.ReadTree(t, k.seen("a"))
	probes := ", readinessProbe: {exec: {command: [/bin/test, -d, /data]}, periodSeconds: 1}, livenessProbe: {exec: {command: [/bin/true]}, periodSeconds: 1}"
	specs := map[string]string{
		"by-digest": sleeper(c.images.app, "IfNotPresent", ""),
		"by-tag":    sleeper(c.images.tagged, "IfNotPresent", ""),
		"never":     sleeper(c.images.listed, "Never", ""),
		"probed": sleeper(c.images.app, "IfNotPresent", probes) +
			"  initContainers: [{name: i, image: \"" + c.images.tagged + "\", imagePullPolicy: Never, command: [/bin/true]}]\n",
	}
	ids := make(map[string]string)
	for name, spec := range specs {
		k.static(name, spec)
		ids[name] = k.isRunning(name).ContainerID
	}
	if _, images, _ := k.primary(); images != 0 {
		t.Errorf("the primary store has %d images, want none", images)
	}
	k.pausesFromSlot(len(ids))
	k.imageFs(t)
	k.static("always", sleeper(c.images.app, "Always", ""))
	t.Logf("Always without serve: %s", k.waits("always", "ErrImagePull", "ImagePullBackOff"))
	k.unstatic("always")
	k.serve()
	k.static("always", sleeper(c.images.tagged, "Always", ""))
	ids["always"] = k.isRunning("always").ContainerID
	k.noLayers()

	k.stopKubelet(syscall.SIGTERM)
	k.startKubelet("")
	k.sameContainers(ids, "a restart of kubelet")
	k.stop()
	k.start()
	k.sameContainers(ids, "a restart of CRI-O")
	k.stopKubelet(syscall.SIGKILL)
	k.kill(syscall.SIGKILL)
	k.start()
	k.startKubelet("")
	// CRI-O has emptied its primary store, and every container with it.
	for name := range ids {
		k.isRunning(name)
	}
	for _, line := range harness.Diff(before, harness.ReadTree(t, k.seen("a")), nil) {
		t.Errorf("the store after pods ran: %s", line)
	}

	for name := range ids {
		ids[name] = k.isRunning(name).ContainerID
	}
	k.run("reseal", next.bundle, "--root", k.path("slots"))
	k.static("next", sleeper(next.app, "Never", ""))
	k.isRunning("next")
	if out := k.nodeseal("retire", "a", "--root", k.path("slots"), "--storage-conf", k.path("storage.conf")); out.Code != 5 {
		t.Errorf("retire while pods run: exit code %d, want 5\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	k.sameContainers(ids, "a reseal")
}

// sameContainers holds that pods run with the containers that they had.
func (k *kubeNode) sameContainers(ids map[string]string, after string) {
	k.t.Helper()
	for name, id := range ids {
		if c := k.isRunning(name); c.ContainerID != id {
			k.t.Errorf("after %s, pod %s has container %s, want %s", after, name, c.ContainerID, id)
		}
	}
}

// pausesFromSlot holds that each of at least want pods has a pause container, whose root
// file system is made of layers of slot a alone.
func (k *kubeNode) pausesFromSlot(want int) {
	k.t.Helper()
	type record struct{ ID, Image, Layer, Metadata string }
	var containers []record
	if err := json.Unmarshal(harness.ReadFile(k.t, k.path("graph/overlay-containers/volatile-containers.json")), &containers); err != nil {
		k.t.Fatal(err)
	}
	images, pauses := harness.Images(k.t, k.seen("a")), 0
	for _, c := range containers {
		if strings.Contains(c.Metadata, k.pause) {
			pauses++
		}
		if _, ok := images[c.Image]; !ok {
			k.t.Errorf("container %s is of image %s, which is not in the slot", c.ID, c.Image)
		}
		lower := readAny(k.path("graph/overlay/" + c.Layer + "/lower"))
		for _, dir := range strings.Split(strings.TrimSpace(lower), ":") {
			if _, err := os.Lstat(filepath.Join(k.seen("a"), "overlay", dir)); err != nil {
				k.t.Errorf("container %s has a layer that is not in the slot: %v", c.ID, err)
			}
		}
	}
	if pauses < want {
		k.t.Errorf("%d pause containers of %s, want %d:\n%+v", pauses, k.pause, want, containers)
	}
}
