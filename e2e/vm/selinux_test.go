//go:build e2evm

package vm

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestSELinux runs a node that enforces a policy with types for containers. A stick is imported
// at the start into a directory, a second one, that carry has filled, by import-stick into a
// store image. Confined containers run out of both slots, after the next start, too. SELinux
// denies the program and the runtime nothing, and the containers what they may not have.
func TestSELinux(t *testing.T) {
	t.Parallel()
	n := newNode(t, "ext4")
	n.selinux = true
	dir, second := t.TempDir(), t.TempDir()
	pause, app := makeImages(t, filepath.Join(dir, "release.tar.zst"), 1)
	_, other := makeImages(t, filepath.Join(second, "second.tar.zst"), 2)
	stick := makeStick(t, dir, "NODESEAL")
	carried := makeStick(t, second, "CARRIED")

	m := n.boot(t)
	m.plugIn(t, stick)
	m.imported(t)
	m.up(t)
	if mode := m.must(t, "cat /sys/fs/selinux/enforce"); mode != "1" {
		t.Fatalf("SELinux is not enforcing: %q", mode)
	}
	m.holdsRelease(t)
	m.labelled(t, slot.DefaultRoot+"/a")
	m.plugAs(t, "carried", carried)
	m.carry(t)
	m.labelled(t, slot.DefaultRoot+"/b")
	m.must(t, "sed -i s,PAUSE,"+pause+", /etc/crio/crio.conf && systemctl enable -q crio")
	if code, _ := m.run(t, "systemctl start crio"); code != 0 {
		t.Fatalf("CRI-O does not start:\n%s", m.journal(t))
	}
	crio := m.crio(t)
	crio.confined(t, "first", app, 1)
	crio.confined(t, "image", other, 2)
	m.noDenials(t)
	m.off(t)

	m = n.boot(t)
	m.plugIn(t, stick) // again: a slot has what is on it
	m.imported(t)
	m.up(t)
	for _, name := range []string{"a", "b"} {
		m.must(t, program+" verify "+slot.DefaultRoot+"/"+name)
	}
	crio = m.crio(t)
	crio.confined(t, "again", app, 1)
	crio.confined(t, "image-again", other, 2)
	m.noDenials(t)
	m.off(t)
	if text := readStick(t, stick); !strings.Contains(text, "nothing to do: slot a holds this bundle") {
		t.Errorf("the results on the stick:\n%s", text)
	}
}

// carry fills a stick with the bundle that lies on it, and imports that from the stick into
// the other slot, as an image.
func (m *machine) carry(t *testing.T) {
	t.Helper()
	m.await(t, "test -e /dev/disk/by-label/CARRIED")
	m.must(t, `set -e
mkdir -p /mnt/carried
mount /dev/disk/by-label/CARRIED /mnt/carried
mkdir /mnt/carried/stick
`+program+` carry /mnt/carried/stick --bundle /mnt/carried/second.tar.zst --pool worker --ocp-version 4.20.1
`+program+` import-stick /mnt/carried/stick --format image
umount /mnt/carried`)
	if fsType := m.must(t, "findmnt -n -o FSTYPE "+slot.DefaultRoot+"/b"); fsType != "erofs" {
		t.Errorf("slot b is %s", fsType)
	}
}

// confined runs a container that SELinux confines, with categories of its own. It reads what
// the slot has and writes into its own files, and must not read one of the node's.
func (r *runtime) confined(t *testing.T, name, image string, release int) {
	t.Helper()
	const script = "cat /data/release /proc/self/attr/current; echo; touch /data/own && echo written; cat /node/shadow 2>&1 || echo refused"
	out := r.run(t, name, image, script, &cri.Mount{HostPath: "/etc", ContainerPath: "/node", Readonly: true})
	want := fmt.Sprintf(`release %d out of the slot\nsystem_u:system_r:container_t:s0:c\d+,c\d+\W+written\ncat: can't open '/node/shadow': Permission denied\nrefused$`, release)
	if !regexp.MustCompile(want).MatchString(out) {
		t.Errorf("the container %s printed:\n%s", name, out)
	}
	if denied := r.m.must(t, "journalctl --no-pager -b -o cat -g 'avc: +denied.*shadow' || true"); !strings.Contains(denied, ":container_t:s0:c") {
		t.Errorf("SELinux did not confine the container %s: %q", name, denied)
	}
}

// makeImages writes a bundle with an image for pause containers and one for others.
func makeImages(t *testing.T, path string, release int) (pause, app string) {
	t.Helper()
	src := storetest.NewSource(t, bundle.Expanded)
	busybox := string(harness.ReadFile(t, testenv.NeedTool(t, "busybox")))
	base := []storetest.Entry{storetest.Dir("bin/"), storetest.Dir("proc/"), storetest.Dir("sys/"), storetest.Dir("dev/"), storetest.Dir("etc/"), storetest.File("bin/busybox", busybox).Perm(0o755)}
	for _, applet := range []string{"sh", "cat", "sleep", "touch"} {
		base = append(base, storetest.Symlink("bin/"+applet, "busybox"))
	}
	base = append(base, storetest.File("bin/pause", "#!/bin/sh\ntrap 'exit 0' TERM INT\nwhile :; do sleep 3600 & wait $!; done\n").Perm(0o755))
	layer := storetest.Tar(t, base...)
	own := storetest.Tar(t, storetest.Dir("data/"), storetest.File("data/release", fmt.Sprintf("release %d out of the slot\n", release)))
	pause = src.Add(storetest.Image{Repository: "example.com/pause", Layers: [][]byte{layer}}).Ref
	app = src.Add(storetest.Image{Repository: "example.com/app", Layers: [][]byte{layer, own}}).Ref
	src.Edit(func(inv *bundle.Inventory) { inv.Release = &bundle.Release{Version: fmt.Sprintf("4.99.%d", release)} })
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

// noDenials wants SELinux to have denied nothing to the program, the runtime, and containers,
// but for what confined asks for, and nothing of the slots to anything that reads them.
func (m *machine) noDenials(t *testing.T) {
	t.Helper()
	all := m.must(t, "journalctl --no-pager -b -o cat -g 'avc: +denied' || true")
	ours := regexp.MustCompile(`comm="(nodeseal|crio|conmon|runc.*|pinns)"|scontext=\S+:(crio_t|container_t|initrc_t):`)
	var others []string
	for line := range strings.Lines(all) {
		switch {
		case strings.Contains(line, `name="shadow"`):
		case ours.MatchString(line):
			t.Errorf("denied: %s", line)
		default:
			others = append(others, line)
		}
	}
	t.Logf("denied to others: %d\n%s", len(others), strings.Join(others, ""))
}
