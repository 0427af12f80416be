//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestWayBack goes the way of docs/upgrade.md back to a stock node, as far as one machine
// with podman can: a registry is there again, our configuration goes, images are pulled,
// the slots are removed.
func TestWayBack(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "podman")
	sample, addr := servedSample(t)
	all := harness.WriteFile(t, "images.lst", sample.ImagesList())
	mirrors := samplerelease.RegistriesConf(addr)
	var held, other string // an image of the slot, and one that is in none
	for _, img := range sample.Images {
		switch img.Name {
		case "cli":
			held = img.Ref
		case "etcd":
			other = img.Ref
		}
	}
	bundle := filepath.Join(t.TempDir(), "release.tar.zst")
	harness.MustNodeseal(t, "bundle", "--images", all, "--exclude", other, "-o", bundle,
		"--registries-conf", harness.WriteFile(t, "registries.conf", mirrors))
	n := newSlotNode(t, "ext4")
	n.must(t, "import", bundle, "--gc-threshold", "0")
	stock := append([]string{}, n.podmanWords...)
	registries := func(text string) {
		n.podmanWords = append([]string{"env", "CONTAINERS_REGISTRIES_CONF=" + harness.WriteFile(t, "registries.conf", text)}, stock...)
	}

	// With our configuration and no registry: the image of the slot is there, the other one is not.
	ours := string(harness.ReadFile(t, registriesOf(t, bundle)))
	registries(ours)
	n.mustPodman(t, "image", "exists", held)
	if out := n.podman(t, "pull", "--quiet", other); out.Code == 0 {
		t.Fatal("an image that no slot has was pulled without a registry")
	}

	// 1. The mirrors are there again: what no slot has comes from them.
	registries(mirrors)
	n.mustPodman(t, "pull", "--quiet", other)

	// 2. Our files go: storage.conf names no slot, nothing asks serve.
	conf := string(harness.ReadFile(t, n.conf))
	at := strings.Index(conf, "[storage.options]")
	if err := os.WriteFile(n.conf, []byte(conf[:at]), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := n.podman(t, "image", "exists", held); out.Code == 0 {
		t.Error("the image of the slot is still found")
	}

	// 3. What was only in the slot is pulled when it is needed next.
	n.mustPodman(t, "pull", "--quiet", held)
	n.mustPodman(t, "image", "exists", held)

	// 4. The slots go.
	for _, slot := range []string{"a", "b"} {
		dir := filepath.Join(n.root, slot)
		harness.MustNodeseal(t, "unseal", dir)
		_ = exec.Command("umount", dir).Run() // unseal may have done it
	}
	if err := os.RemoveAll(n.root); err != nil {
		t.Error(err)
	}
	n.mustPodman(t, "image", "exists", held)
	n.mustPodman(t, "image", "exists", other)
}
