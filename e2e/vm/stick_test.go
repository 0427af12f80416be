//go:build e2evm

package vm

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestStick boots a node and puts a stick with FAT into its USB port: the device manager
// starts the import, the result is left on the stick, and the slot is sealed. TestSELinux and
// TestUnitsPowerCut have the starts with a stick in the port.
func TestStick(t *testing.T) {
	t.Parallel()
	n := newNode(t, "ext4")
	dir := t.TempDir()
	makeRelease(t, filepath.Join(dir, "release.tar.zst"), 1)
	stick := makeStick(t, dir, "NODESEAL")

	m := n.start(t)
	m.plugDisks(t)
	m.up(t)
	if kind := m.must(t, "stat -f -c %T /sys/fs/cgroup"); kind != "cgroup2fs" {
		t.Errorf("the control groups are %s", kind)
	}
	m.plugIn(t, stick)
	m.imported(t)
	m.holdsRelease(t)
	m.off(t)
	if text := readStick(t, stick); !strings.Contains(text, "OK") || !strings.Contains(text, "4.99.1") {
		t.Errorf("the result on the stick:\n%s", text)
	}
}

// imported waits until the unit of the import has done its work in this boot.
func (m *machine) imported(t *testing.T) {
	t.Helper()
	const show = "systemctl show nodeseal-import --value -p "
	m.must(t, "until [[ $("+show+"ActiveState) =~ ^(inactive|failed)$ && $("+show+"ExecMainExitTimestampMonotonic) != 0 ]]; do sleep 3; done")
	if result := m.must(t, show+"Result"); result != "success" {
		t.Fatalf("the import: %s\n%s", result, m.must(t, "journalctl --no-pager -b -u nodeseal-import"))
	}
}

// holdsRelease wants slot a to be sealed and proven, and mounted.
func (m *machine) holdsRelease(t *testing.T) {
	t.Helper()
	if out := m.must(t, program+" status"); !strings.Contains(out, "OK") {
		t.Errorf("status:\n%s", out)
	}
	m.must(t, program+" verify /var/lib/shared/nodeseal/a")
	if flags := m.must(t, "lsattr -d /var/lib/shared/nodeseal/a/overlay-images/images.json"); !strings.Contains(strings.Fields(flags)[0], "i") {
		t.Errorf("images.json is not immutable: %s", flags)
	}
	if options := m.must(t, "findmnt -n -o OPTIONS /var/lib/shared/nodeseal/a"); !strings.HasPrefix(options, "ro,") {
		t.Errorf("slot a is mounted %s", options)
	}
	for _, unit := range []string{"nodeseal-slots.service", "nodeseal-serve.service", "var-lib-shared-nodeseal-a.mount", "var-lib-shared-nodeseal-b.mount"} {
		m.must(t, "systemctl is-active "+unit)
	}
}
