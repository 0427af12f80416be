//go:build e2evm

package vm

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestSELinux runs a node that enforces a policy with types for containers: a stick is
// imported at the start, CRI-O has the images of the slot, and the program is denied nothing.
func TestSELinux(t *testing.T) {
	t.Parallel()
	n := newNode(t, "ext4")
	n.selinux = true
	dir := t.TempDir()
	pause, app := makeImages(t, filepath.Join(dir, "release.tar.zst"))
	stick := makeStick(t, dir, "NODESEAL")

	m := n.boot(t)
	m.plugIn(t, stick)
	m.imported(t)
	m.up(t)
	if mode := m.must(t, "cat /sys/fs/selinux/enforce"); mode != "1" {
		t.Fatalf("SELinux is not enforcing: %q", mode)
	}
	m.holdsRelease(t)
	m.labelled(t, "/var/lib/shared/nodeseal/a")
	m.must(t, "sed -i s,PAUSE,"+pause+", /etc/crio/crio.conf && systemctl enable -q crio")
	if code, _ := m.run(t, "systemctl start crio"); code != 0 {
		t.Fatalf("CRI-O does not start:\n%s", m.journal(t))
	}
	m.crioHas(t, app)
	m.noDenials(t)
}

// makeImages writes a bundle with an image for pause containers and one for others.
func makeImages(t *testing.T, path string) (pause, app string) {
	t.Helper()
	src := storetest.NewSource(t, bundle.Expanded)
	busybox := string(harness.ReadFile(t, testenv.NeedTool(t, "busybox")))
	base := []storetest.Entry{storetest.Dir("bin/"), storetest.Dir("proc/"), storetest.Dir("sys/"), storetest.Dir("dev/"), storetest.Dir("etc/"), storetest.File("bin/busybox", busybox).Perm(0o755)}
	for _, applet := range []string{"sh", "cat", "sleep", "touch"} {
		base = append(base, storetest.Symlink("bin/"+applet, "busybox"))
	}
	base = append(base, storetest.File("bin/pause", "#!/bin/sh\ntrap 'exit 0' TERM INT\nwhile :; do sleep 3600 & wait $!; done\n").Perm(0o755))
	layer := storetest.Tar(t, base...)
	own := storetest.Tar(t, storetest.Dir("data/"), storetest.File("data/release", "from the slot\n"))
	pause = src.Add(storetest.Image{Repository: "example.com/pause", Layers: [][]byte{layer}}).Ref
	app = src.Add(storetest.Image{Repository: "example.com/app", Layers: [][]byte{layer, own}}).Ref
	src.Edit(func(inv *bundle.Inventory) { inv.Release = &bundle.Release{Version: "4.99.1"} })
	src.WriteRaw(t, path, src.RawInventory())
	return pause, app
}

// labelled wants all of a store to have the label that containers may read.
func (m *machine) labelled(t *testing.T, slot string) {
	t.Helper()
	if other := m.must(t, "find "+slot+" -exec stat -c '%C %n' {} + | grep -v '^"+readOnlyLabel+" ' || true"); other != "" {
		t.Errorf("labels:\n%s", other)
	}
}

// noDenials wants SELinux to have denied the program nothing.
func (m *machine) noDenials(t *testing.T) {
	t.Helper()
	all := m.must(t, "journalctl --no-pager -b -o cat -g 'avc: +denied' || true")
	var others []string
	for line := range strings.Lines(all) {
		if strings.Contains(line, `comm="nodeseal"`) {
			t.Errorf("denied: %s", line)
		} else {
			others = append(others, line)
		}
	}
	t.Logf("denied to others: %d\n%s", len(others), strings.Join(others, ""))
}
