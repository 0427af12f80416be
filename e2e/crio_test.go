//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// TestCRIO is the proof on a real CRI-O, with the store as a directory and as an
// image: see docs/proof.md.
func TestCRIO(t *testing.T) {
	crioTools(t)
	images := makeCRIOImages(t, "one")
	for _, format := range []string{formatDir, formatImage} {
		t.Run(format, func(t *testing.T) {
			c := &crioProof{images: images, format: format}
			t.Run("Pods", c.testPods)
			t.Run("Writes", c.testWrites)
			t.Run("Always", c.testAlways)
			t.Run("Twins", c.testTwins)
			t.Run("Signatures", c.testSignatures)
			t.Run("Policies", c.testPolicies)
			t.Run("Reboots", c.testReboots)
			t.Run("Collection", c.testCollection)
			t.Run("Load", c.testLoad)
			t.Run("Reseal", c.testReseal)
			if format == formatDir {
				t.Run("Damaged", c.testDamagedStores)
			}
		})
	}
}

// The values of --format.
const (
	formatDir   = "dir"
	formatImage = "image"
	formatSame  = "same"
)

// crioProof is the images, and the form in which they get into the store.
type crioProof struct {
	images  *crioImages
	format  string
	runtime string // as a node has it
}

// fill imports a bundle into slot a, sealed.
func (c *crioProof) fill(n *node, bundle string) {
	n.t.Helper()
	n.run("import", bundle, "--root", n.path("slots"), "--format", c.format)
}

// sealed is a node with the bundle in slot a, and CRI-O running.
func (c *crioProof) sealed(t *testing.T) *node {
	t.Helper()
	n := newNode(t, c.images.pause)
	c.fill(n, c.images.bundle)
	n.start()
	return n
}

// gone are mirrors of a longer prefix than any that a simple configuration would
// have, at a registry that is not there, as staged clusters have them.
const gone = `[[registry]]
prefix = "` + crioRepo + `"
location = "` + crioRepo + `"
[[registry.mirror]]
location = "gone.example:8443/nodeseal-e2e"
pull-from-mirror = "digest-only"
`

// testPods starts pods by every kind of reference, and the pause image, from the
// sealed store, with mirrors configured that are gone.
func (c *crioProof) testPods(t *testing.T) {
	n := newNode(t, c.images.pause)
	n.write("etc/registries.conf.d/01-mirrors.conf", gone)
	c.fill(n, c.images.bundle)
	before := harness.ReadTree(t, n.seen("a"))
	n.start()
	for kind, image := range map[string]string{
		"digest": c.images.app, "tag": c.images.tagged, "list digest": c.images.listed, "list of gzip and zstd": c.images.added,
	} {
		if n.present(image) == nil {
			t.Errorf("by %s: CRI-O does not have %s", kind, image)
			continue
		}
		started := time.Now()
		n.runPod(image, 0, "/bin/true")
		t.Logf("by %s: a pod starts, runs and goes in %v", kind, time.Since(started).Round(time.Millisecond))
	}
	if _, images, _ := n.primary(); images != 0 {
		t.Errorf("the primary store has %d images, want none", images)
	}
	for _, line := range harness.Diff(before, harness.ReadTree(t, n.seen("a")), nil) {
		t.Errorf("the store after pods ran: %s", line)
	}
}

// appScript changes what came with the image, and looks at what its layers took
// away.
const appScript = changes + `
test ! -e /data/gone
ls /data/hidden
`

// appOutput is what appScript prints.
var appOutput = strings.Replace(changed, "link\n", "hidden\nlink\n", 1) + "new\n"

// testWrites runs a container that writes into its image's files, one with a file
// capability and one that is set-uid.
func (c *crioProof) testWrites(t *testing.T) {
	n := c.sealed(t)
	before := harness.ReadTree(t, n.seen("a"))
	if got, want := n.runPod(c.images.app, 0, "/bin/sh", "-c", appScript), appOutput; got != want {
		t.Errorf("the container printed\n%s\nwant\n%s", got, want)
	}
	const user = 1000
	if got := n.runPod(c.images.app, user, "/bin/who"); got != "uid 1000 euid 0\n" {
		t.Errorf("a set-uid program is %q", got)
	}
	if got := n.runPod(c.images.app, user, "/capable/cat", "/proc/self/status"); !strings.Contains(got, "CapEff:\t0000000000000400\n") {
		t.Errorf("a program with a file capability has\n%s", got)
	}
	for _, line := range harness.Diff(before, harness.ReadTree(t, n.seen("a")), nil) {
		t.Errorf("the store after a container wrote: %s", line)
	}
}

// answered is a node with the bundle in slot a, the configuration of nodeseal
// config registries, nodeseal serve, and CRI-O running.
func (c *crioProof) answered(t *testing.T) *node {
	t.Helper()
	n := newNode(t, c.images.pause)
	c.fill(n, c.images.bundle)
	n.pullHere()
	n.serve()
	n.start()
	return n
}

// pullHere installs what nodeseal config registries prints for slot a.
func (n *node) pullHere() {
	n.t.Helper()
	n.run("config", "registries", "--store", n.slot("a"), "--output", n.path("config"))
	harness.Must(n.t, "cp", "-r", n.path("config/etc/containers")+"/.", n.path("etc"))
}

// testAlways pulls as imagePullPolicy: Always does. It fails without serve. With
// it no layer is asked for, and the primary store gets records only.
func (c *crioProof) testAlways(t *testing.T) {
	n := newNode(t, c.images.pause)
	n.write("etc/registries.conf.d/01-mirrors.conf", gone)
	c.fill(n, c.images.bundle)
	n.pullHere()
	n.start()
	n.runPod(c.images.app, 0, "/bin/true")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := n.pull(ctx, c.images.app); err == nil {
		t.Error("without nodeseal serve a pull succeeds: something else answers")
	}
	n.serve()
	for _, image := range []string{c.images.app, c.images.tagged, c.images.listed, c.images.added} {
		layers, _, size := n.primary()
		started := time.Now()
		if err := n.pull(t.Context(), image); err != nil {
			t.Errorf("pulling %s: %v", image, err)
			continue
		}
		took := time.Since(started)
		layersNow, _, sizeNow := n.primary()
		t.Logf("pulled in %v, %d bytes in the primary store: %s", took.Round(time.Millisecond), sizeNow-size, image)
		if layersNow != layers {
			t.Errorf("pulling %s adds %d layers", image, layersNow-layers)
		}
		if grown := sizeNow - size; grown > 64<<10 {
			t.Errorf("pulling %s adds %d bytes to the primary store", image, grown)
		}
		n.runPod(image, 0, "/bin/true")
	}
	n.noLayers()
	t.Logf("serve has answered %s manifests, %s KiB resident",
		n.metric(`nodeseal_serve_requests_total{endpoint="manifest",code="200"}`), n.resident())
}

// testTwins pulls images that hold one content under several compressed digests.
// The store has a layer record for each: no pull asks for a layer.
func (c *crioProof) testTwins(t *testing.T) {
	n := c.answered(t)
	compressed := make(map[string]bool)
	for _, layer := range harness.Layers(t, n.seen("a")) {
		if layer.Diff == c.images.twinDiff {
			compressed[layer.Compressed] = true
		}
	}
	if len(compressed) != len(c.images.twins) {
		t.Errorf("the store records %d compressed digests of the content, want %d", len(compressed), len(c.images.twins))
	}
	for _, image := range c.images.twins {
		_, _, size := n.primary()
		if err := n.pull(t.Context(), image); err != nil {
			t.Errorf("pulling %s: %v", image, err)
			continue
		}
		layers, _, sizeNow := n.primary()
		t.Logf("pulled, %d bytes in the primary store: %s", sizeNow-size, image)
		if layers != 0 {
			t.Errorf("pulling %s adds %d layers", image, layers)
		}
		if grown := sizeNow - size; grown > 64<<10 {
			t.Errorf("pulling %s adds %d bytes to the primary store", image, grown)
		}
		n.runPod(image, 0, "/bin/test", "-s", "/data/twin")
	}
	n.noLayers()
}

// noLayers holds that serve was asked for no layer.
func (n *node) noLayers() {
	n.t.Helper()
	if asked := n.metric("nodeseal_serve_layer_requests_total"); asked != "0" {
		n.t.Errorf("%q layers were asked for, want 0", asked)
	}
}
