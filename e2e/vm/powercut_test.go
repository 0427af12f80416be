//go:build e2evm

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// place is a disk with slots: a file system and the form of the stores.
type place struct {
	fsType, form string
	disk         string
	holds        map[string]int // releases by slot; 0: the slot is empty
	root         string         // in this boot
}

func (p *place) String() string { return p.fsType + ", " + p.form }

// round is a command that the power cut stops at a system call: the first of its name, or
// of those about the slot's path. It has been made, and nothing after it.
type round struct {
	command string // import, reseal, retire, mount
	slot    string
	release int               // that the slot holds afterwards
	moment  map[string]string // by form
}

// both is a moment in the two forms.
func both(moment string) map[string]string {
	return map[string]string{"dir": moment, "image": moment}
}

// rounds follow one another on the same disks. The first ones are those of CI.
func rounds() []round {
	return []round{
		// While files are written.
		{"import", "a", 1, map[string]string{"dir": "symlinkat", "image": "pwrite64"}},
		// The exchange: the slot has just become the new store, in the form of an image its file has its name.
		{"reseal", "b", 2, map[string]string{"dir": "renameat2 SLOT", "image": "renameat2"}},
		// The slot is no longer mounted, and not yet empty.
		{"retire", "a", 0, both("umount2 SLOT")},
		// The machine starts, and mounts the slots.
		{"mount", "a", 0, both("open_tree")},
		// The store is whole, and is made durable.
		{"import", "a", 1, map[string]string{"dir": "syncfs", "image": "fsync"}},
		{"retire", "b", 0, both("move_mount SLOT")},
		{"reseal", "b", 2, both("move_mount SLOT")},
		{"retire", "a", 0, both("fsync")},
		{"import", "a", 1, map[string]string{"dir": "renameat2 SLOT", "image": "move_mount SLOT"}},
		{"mount", "a", 1, both("move_mount")},
	}
}

// TestPowerCut cuts the power while commands run, on ext4 and XFS, in both forms, all four
// on one machine: each round stops four commands in the middle, and then kills the machine.
// The kernel writes nothing by itself meanwhile, so all that was not made durable is lost.
// The next start has valid slots with what they held, mounts them, and the same command finishes.
// NODESEAL_VM_ROUNDS=all does all ten rounds, 40 moments.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	n := newNode(t, "ext4", "xfs", "ext4", "xfs")
	var places []*place
	for i, form := range []string{"dir", "dir", "image", "image"} {
		places = append(places, &place{fsType: []string{"ext4", "xfs"}[i%2], form: form, disk: n.data[i], holds: map[string]int{}})
	}
	releases := t.TempDir()
	for v := 1; v <= 2; v++ {
		makeRelease(t, filepath.Join(releases, fmt.Sprintf("release%d.tar.zst", v)), v)
	}
	stick := makeStick(t, releases, "RELEASES")
	all := rounds()
	if os.Getenv("NODESEAL_VM_ROUNDS") != "all" {
		all = all[:3]
	}
	var last *round
	for i := range len(all) + 1 {
		// Another disk is the one that the units of the node mount.
		n.data = append(n.data[1:], n.data[0])
		m := n.start(t)
		m.plugDisks(t)
		m.up(t)
		m.plugRelease(t, stick)
		for _, p := range places {
			m.place(t, n, p)
			if last != nil {
				m.finish(t, p, *last)
			}
		}
		if i == len(all) {
			m.off(t)
			break
		}
		last = &all[i]
		t.Logf("%s is cut", last.command)
		for _, p := range places {
			m.begin(t, p, *last)
		}
		for _, p := range places {
			m.stopped(t, p, *last)
		}
		m.cut()
	}
	t.Logf("%d power cuts, each of 4 disks", len(all))
}

// plugRelease plugs a stick in that holds the releases, with a label that starts nothing.
func (m *machine) plugRelease(t *testing.T, stick string) {
	t.Helper()
	m.plugIn(t, stick)
	m.await(t, "test -e /dev/disk/by-label/RELEASES")
	m.must(t, "mkdir -p /mnt/stick; mount -o ro /dev/disk/by-label/RELEASES /mnt/stick")
	m.must(t, "sysctl -q -w vm.dirty_writeback_centisecs=0 vm.dirty_expire_centisecs=360000")
}

// place mounts the disk of p, and its slots, where the units have not done so.
func (m *machine) place(t *testing.T, n *node, p *place) {
	t.Helper()
	i := slices.Index(n.data, p.disk)
	p.root = "/var/lib/shared/nodeseal"
	if i > 0 {
		mount := fmt.Sprintf("/srv/%d", i)
		p.root = mount + "/nodeseal"
		m.must(t, fmt.Sprintf("mkdir -p %s; mount %[2]s %[1]s; mkdir -p %[3]s", mount, device(i), p.root))
		m.must(t, program+" mount --root "+p.root)
	}
	for _, slot := range []string{"a", "b"} {
		dir := p.root + "/" + slot
		m.must(t, fmt.Sprintf("cd %s; test -s overlay-layers/layers.lock; test -s overlay-images/images.lock; test -s overlay-images/images.json; findmnt -n -o OPTIONS %[1]s | grep -q ^ro", dir))
	}
}

// verify wants the slots of p to hold what they should.
func (m *machine) verify(t *testing.T, p *place) {
	t.Helper()
	for slot, release := range p.holds {
		dir := p.root + "/" + slot
		if release == 0 {
			if images := m.must(t, "cat "+dir+"/overlay-images/images.json"); images != "[]" {
				t.Errorf("%s: slot %s has images: %s", p, slot, images)
			}
			continue
		}
		m.must(t, program+" verify --quiet "+dir)
		if out := m.must(t, "cat "+dir+"/nodeseal/inventory.json"); !strings.Contains(out, fmt.Sprintf("4.99.%d", release)) {
			t.Errorf("%s: slot %s does not hold release %d", p, slot, release)
		}
	}
}

// finish wants what the cut command left alone to be as it was, and has it do its work.
func (m *machine) finish(t *testing.T, p *place, r round) {
	t.Helper()
	delete(p.holds, r.slot)
	m.verify(t, p)
	m.must(t, p.command(r))
	p.holds[r.slot] = r.release
	m.verify(t, p)
	if left := m.must(t, "ls -A "+p.root+"/.work"); left != "" && left != "lock" {
		t.Logf("%s, %s: left in .work: %s", p, r.command, left)
	}
}

func (p *place) command(r round) string {
	bundle := fmt.Sprintf("/mnt/stick/release%d.tar.zst", r.release)
	switch r.command {
	case "import":
		return fmt.Sprintf("%s import --quiet --root %s --format %s %s", program, p.root, p.form, bundle)
	case "reseal":
		return fmt.Sprintf("%s reseal --quiet --root %s %s", program, p.root, bundle)
	case "retire":
		return fmt.Sprintf("%s retire %s --empty-node --staged --root %s", program, r.slot, p.root)
	default:
		return fmt.Sprintf("%s mount --root %s", program, p.root)
	}
}

func (p *place) log() string { return "/run/stop-" + filepath.Base(p.disk) }

// begin runs the command until its moment.
func (m *machine) begin(t *testing.T, p *place, r round) {
	t.Helper()
	if r.command == "mount" {
		m.must(t, program+" umount --root "+p.root)
	}
	call, about, _ := strings.Cut(r.moment[p.form], " ")
	filter := "" // --seccomp-bpf loses signals: the kernel does not deliver them from there
	if about != "" {
		filter = "-P " + p.root + "/" + r.slot
	}
	m.must(t, fmt.Sprintf("rm -f %[1]s; setsid strace -f -o %[1]s %s -e trace=%[3]s -e inject=%[3]s:signal=SIGSTOP %s </dev/null >%[1]s.out 2>&1 & echo $! >%[1]s.pid",
		p.log(), filter, call, p.command(r)))
}

// stopped waits until the command has been stopped.
func (m *machine) stopped(t *testing.T, p *place, r round) {
	t.Helper()
	m.await(t, fmt.Sprintf("grep -q 'stopped by SIGSTOP' %[1]s || ! kill -0 $(cat %[1]s.pid)", p.log()))
	if code, _ := m.run(t, "grep -q 'stopped by SIGSTOP' "+p.log()); code != 0 {
		t.Fatalf("%s: %s ended before %s\n%s", p, r.command, r.moment[p.form], m.must(t, "cat "+p.log()+".out; tail -n 20 "+p.log()))
	}
}
