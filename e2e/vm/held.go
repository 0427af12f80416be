//go:build e2evm

package vm

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// shared is what the tests have in common: a configured root file system, and a machine that
// was switched on with it once and stands still at the moment where it needs the disk with the
// slots. From there a start takes a fifth of the time, and all of ours happens after it.
type shared struct {
	dir        string
	configured sync.Once
	held       sync.Once
}

var common shared

// root is the configured root file system.
func (s *shared) root(t *testing.T, built string) string {
	t.Helper()
	raw := filepath.Join(s.dir, "root")
	s.configured.Do(func() {
		harness.Must(t, "cp", "--sparse=always", filepath.Join(built, "disk"), raw+".partial")
		configure(t, raw+".partial")
		if err := os.Rename(raw+".partial", raw); err != nil {
			t.Fatal(err)
		}
	})
	_, err := os.Stat(raw)
	testenv.Require(t, err == nil, "another test could not make the machine's root file system")
	return raw
}

// hold switches a node on that waits for the disk with the slots, and keeps its memory and its disk.
func (s *shared) hold(t *testing.T) (memory, disk string) {
	t.Helper()
	memory, disk = filepath.Join(s.dir, "memory"), filepath.Join(s.dir, "held")
	s.held.Do(func() {
		n := newNode(t)
		m := n.boot(t)
		m.await(t, "systemctl is-active -q systemd-udev-trigger systemd-tmpfiles-setup-dev systemd-journal-flush && ! systemctl list-jobs --plain --no-legend | grep -v '[.]device ' | grep -q running")
		m.ask(t, "stop", nil)
		m.ask(t, "migrate-set-parameters", map[string]any{"max-bandwidth": 1 << 32})
		m.ask(t, "migrate", map[string]any{"uri": "exec:cat >" + memory + ".partial"})
		m.awaitMigration(t)
		m.cut()
		for from, to := range map[string]string{n.disk: disk, memory + ".partial": memory} {
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
	})
	_, err := os.Stat(memory)
	testenv.Require(t, err == nil, "another test could not switch the machine on")
	return memory, disk
}

// start switches the node on in the place of boot: its root file system is as it was
// configured, and it waits for its disks.
func (n *node) start(t *testing.T) *machine {
	t.Helper()
	memory, disk := common.hold(t)
	_ = os.Remove(n.disk)
	harness.Must(t, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", disk, n.disk)
	m := n.power(t, "-incoming", "exec:cat "+memory)
	m.awaitMigration(t)
	m.ask(t, "cont", nil)
	return m
}
