//go:build e2evm

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnitsPowerCut cuts the power while a node starts, with a stick in its port: each start
// stops a unit right after one system call. The next start continues, and the last of them
// leaves what a node has that never lost its power. NODESEAL_VM_ROUNDS=all has six moments
// in the place of three.
func TestUnitsPowerCut(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"dir", "image"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			cutUnits(t, form, newNode(t, map[string]string{"dir": "ext4", "image": "xfs"}[form]))
		})
	}
}

// unitStop is a unit and the system call after which it is stopped.
type unitStop struct {
	unit   string
	moment map[string]string // by form
	always bool              // also in CI
}

func unitStops() []unitStop {
	return []unitStop{
		// The slots are there for the first time.
		{"nodeseal-slots", both("open_tree"), false},
		// While files are written.
		{"nodeseal-import", map[string]string{"dir": "symlinkat", "image": "pwrite64"}, true},
		// The store is whole, and is made durable.
		{"nodeseal-import", map[string]string{"dir": "syncfs", "image": "fsync"}, false},
		// The exchange.
		{"nodeseal-import", map[string]string{"dir": "renameat2 SLOT", "image": "renameat2"}, true},
		// A sealed slot is mounted.
		{"nodeseal-slots", both("move_mount"), true},
		// Systemd has mounted the slots, and serve is about to answer from them.
		{"nodeseal-serve", both("bind"), false},
	}
}

// cutUnits starts a node that is stopped at each of the moments.
func cutUnits(t *testing.T, form string, n *node) {
	t.Helper()
	dir := t.TempDir()
	makeRelease(t, filepath.Join(dir, "release.tar.zst"), 1)
	stick := makeStick(t, dir, "NODESEAL")
	for _, stop := range unitStops() {
		if !stop.always && os.Getenv("NODESEAL_VM_ROUNDS") != "all" {
			continue
		}
		m := n.start(t)
		m.wrap(t, stop.unit, form, stop.moment[form])
		m.plugIn(t, stick)
		m.plugDisks(t)
		if code, _ := m.run(t, "until grep -q 'stopped by SIGSTOP' /run/stop; do sleep 1; [[ ! -e /run/ended ]] || exit 1; done"); code != 0 {
			t.Fatalf("%s ended before %s\n%s", stop.unit, stop.moment[form], m.must(t, "tail -n 20 /run/stop; journalctl --no-pager -b -u "+stop.unit))
		}
		t.Logf("%s is cut at %s", stop.unit, stop.moment[form])
		m.cut()
	}
	m := n.start(t)
	m.plugIn(t, stick)
	m.plugDisks(t)
	m.up(t)
	m.imported(t)
	m.holdsRelease(t)
	if left := m.must(t, "ls -A /var/lib/shared/nodeseal/.work"); left != "" && left != "lock" {
		t.Errorf("left in .work: %s", left)
	}
	m.off(t)
	t.Logf("the results on the stick:\n%s", readStick(t, stick))
}

// wrap has a unit run below strace, which stops it at the moment. The machine's kernel writes
// nothing by itself meanwhile.
func (m *machine) wrap(t *testing.T, unit, form, moment string) {
	t.Helper()
	call, about, _ := strings.Cut(moment, " ")
	filter := ""
	if about != "" {
		filter = "-P /var/lib/shared/nodeseal/a"
	}
	option := ""
	if unit == "nodeseal-import" {
		option = "--format " + form
	}
	m.must(t, fmt.Sprintf(`set -e
sysctl -q -w vm.dirty_writeback_centisecs=0 vm.dirty_expire_centisecs=360000
exec=$(sed -n 's/^ExecStart=//p' /etc/systemd/system/%[1]s.service)
mkdir -p /run/systemd/system/%[1]s.service.d
cat >/run/systemd/system/%[1]s.service.d/stop.conf <<EOF
[Service]
ExecStart=
ExecStart=/usr/bin/strace -f -o /run/stop %[2]s -e trace=%[3]s -e inject=%[3]s:signal=SIGSTOP $exec %[4]s
CapabilityBoundingSet=CAP_SYS_PTRACE
SystemCallFilter=@debug seccomp
ReadWritePaths=/run
TimeoutStartSec=infinity
ExecStopPost=+/bin/touch /run/ended
EOF
touch /run/stop
systemctl daemon-reload`, unit, filter, call, option))
}
