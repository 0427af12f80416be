//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// looksAtSlots stands for what needs the stores on a node: it fails where one of
// them is missing or hollow.
const looksAtSlots = `[Unit]
Description=Stands for %s
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'for s in a b; do test -s /var/lib/shared/nodeseal/$s/overlay-layers/layers.lock; test -s /var/lib/shared/nodeseal/$s/overlay-images/images.json; done'
`

// machine is a root file system that systemd boots in a container: this
// machine's own, with the units that `nodeseal config units` prints.
type machine struct {
	root, slots, stick string
	device             string // of the stick, where one is plugged in
	containers         string // the primary store's file system, "" is the root's
}

// readers are the units of a node that come after the slots.
func readers() []string {
	return []string{"crio-wipe", "crio", "kubelet", "machine-config-daemon-pull", "nodeip-configuration", "on-prem-resolv-prepender"}
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	testenv.NeedTool(t, "systemd-nspawn")
	disk := testenv.NeedFSOfSize(t, "ext4", 1<<30)
	m := &machine{root: filepath.Join(disk, "root"), slots: filepath.Join(disk, "slots"), stick: filepath.Join(disk, "stick")}
	upper, work := filepath.Join(disk, "upper"), filepath.Join(disk, "work")
	for _, dir := range []string{m.root, m.slots, m.stick, upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	harness.Must(t, "mount", "-t", "overlay", "overlay", "-o", "lowerdir=/,upperdir="+upper+",workdir="+work, m.root)
	t.Cleanup(func() {
		_ = exec.Command("umount", "-R", m.root).Run()
		_ = exec.Command("chattr", "-R", "-f", "-i", m.slots).Run()
	})
	harness.MustNodeseal(t, "config", "units", "--pin", samplerelease.Prefix+"/*", "-o", m.root)
	m.copyProgram(t)
	// What else this machine starts has no place there, least of all its network.
	wants, err := filepath.Glob(filepath.Join(m.root, "etc/systemd/system/*.wants"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range wants {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, unit := range []string{"systemd-networkd.service", "systemd-networkd.socket", "systemd-networkd-wait-online.service", "network-online.target", "systemd-resolved.service"} {
		if err := os.RemoveAll(filepath.Join(m.root, "etc/systemd/system", unit)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/dev/null", filepath.Join(m.root, "etc/systemd/system", unit)); err != nil {
			t.Fatal(err)
		}
	}
	m.write(t, "etc/machine-id", "uninitialized\n")
	// What the packages of this machine have is enabled at a first boot, if no preset says no.
	m.write(t, "etc/systemd/system-preset/99-nothing.preset", "disable *\n")
	for _, name := range readers() {
		m.write(t, "etc/systemd/system/"+name+".service", fmt.Sprintf(looksAtSlots, name))
		m.want(t, name+".service")
	}
	for _, name := range []string{"nodeseal-slots.service", "nodeseal-serve.service", "var-lib-shared-nodeseal-a.mount", "var-lib-shared-nodeseal-b.mount"} {
		m.want(t, name)
	}
	return m
}

func (m *machine) program() string { return filepath.Join(m.root, "var/usrlocal/bin/nodeseal") }

func (m *machine) copyProgram(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.program()), 0o755); err != nil {
		t.Fatal(err)
	}
	harness.Must(t, "cp", harness.Binary(t), m.program())
}

func (m *machine) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// plugIn puts what the folder of the stick holds on a device with a file system. There
// is no udev in a container: the device gets its name here, and the unit is wanted by the
// boot in the place of the device.
func (m *machine) plugIn(t *testing.T) {
	t.Helper()
	image := filepath.Join(filepath.Dir(m.stick), "stick.img")
	harness.Must(t, "truncate", "-s", "256M", image)
	harness.Must(t, "mkfs.ext4", "-q", "-L", "NODESEAL", "-d", m.stick, image)
	m.device = strings.TrimSpace(string(harness.Must(t, "losetup", "--find", "--show", image)))
	t.Cleanup(func() { _ = exec.Command("losetup", "--detach", m.device).Run() })
	m.want(t, "nodeseal-import.service")
	m.write(t, "etc/tmpfiles.d/stick.conf", fmt.Sprintf("d /dev/disk/by-label 0755\nL /dev/disk/by-label/NODESEAL - - - - %s\n", m.device))
}

// want lets the boot start a unit.
func (m *machine) want(t *testing.T, unit string) {
	t.Helper()
	wants := filepath.Join(m.root, "etc/systemd/system/multi-user.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../"+unit, filepath.Join(wants, unit)); err != nil {
		t.Fatal(err)
	}
	m.write(t, "etc/systemd/system-preset/00-"+unit+".preset", "enable "+unit+"\n")
}

// booted is a machine that systemd runs in.
type booted struct {
	pid string
	log string
	off func() // cuts the power
}

// boot starts the machine and waits until systemd has done all jobs.
func (m *machine) boot(t *testing.T) *booted {
	t.Helper()
	b := m.power(t)
	deadline := time.Now().Add(2 * time.Minute)
	for {
		state := b.systemctl(t, "is-system-running")
		if state == "running" || state == "degraded" {
			return b
		}
		if time.Now().After(deadline) {
			t.Logf("systemd is %s, and waits for\n%s", state, b.systemctl(t, "list-jobs"))
			t.Fatalf("systemd does not come up:\n%s", b.said(t))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// power starts the machine and waits until systemd runs.
func (m *machine) power(t *testing.T) *booted {
	t.Helper()
	b := &booted{log: filepath.Join(t.TempDir(), "boot.log")}
	out, err := os.Create(b.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(testenv.NeedTool(t, "systemd-nspawn"), "--quiet", "--directory", m.root, "--boot", "--register=no", "--keep-unit",
		"--private-network", "--console=pipe", "--capability=all", "--bind="+m.slots+":"+slot.DefaultRoot)
	if m.device != "" {
		cmd.Args = append(cmd.Args, "--bind="+m.device)
	}
	if m.containers != "" {
		// Containers in there have keyrings, and rules for devices.
		cmd.Args = append(cmd.Args, "--bind="+m.containers+":/var/lib/containers", "--system-call-filter=@keyring bpf")
	}
	// Version 1 of the control groups is not there where no systemd runs.
	cmd.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.off = sync.OnceFunc(func() { b.stop(cmd) })
	t.Cleanup(b.off)
	deadline := time.Now().Add(2 * time.Minute)
	for {
		if b.pid = initOf(cmd.Process.Pid); b.pid != "" {
			return b
		}
		if time.Now().After(deadline) {
			t.Fatalf("systemd does not start:\n%s", harness.ReadFile(t, b.log))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// initOf finds the first process of the container, in this machine's numbers.
func initOf(nspawn int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", nspawn, nspawn))
	if err != nil {
		return ""
	}
	for _, pid := range strings.Fields(string(data)) {
		if name, err := os.ReadFile("/proc/" + pid + "/comm"); err == nil && strings.TrimSpace(string(name)) == "systemd" {
			return pid
		}
	}
	return ""
}

// stop ends the container as a power cut does.
func (b *booted) stop(cmd *exec.Cmd) {
	if b.pid != "" {
		_ = exec.Command("kill", "-KILL", b.pid).Run()
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
}

// run runs a program in the machine.
func (b *booted) run(t *testing.T, args ...string) harness.Output {
	t.Helper()
	return harness.Run(t, "nsenter", append([]string{"--target", b.pid, "--mount", "--pid", "--net", "--uts", "--ipc"}, args...)...)
}

func (b *booted) systemctl(t *testing.T, args ...string) string {
	t.Helper()
	return strings.TrimSpace(string(b.run(t, append([]string{"systemctl", "--no-pager"}, args...)...).Stdout))
}

// active returns when a unit became active, in microseconds since the start of
// the machine that this one runs on.
func (b *booted) active(t *testing.T, unit string) int64 {
	t.Helper()
	state := b.systemctl(t, "show", unit, "--property", "ActiveState", "--value")
	at, err := strconv.ParseInt(b.systemctl(t, "show", unit, "--property", "ActiveEnterTimestampMonotonic", "--value"), 10, 64)
	if state != "active" || err != nil {
		t.Errorf("%s is %s (%v)\n%s", unit, state, err, b.run(t, "journalctl", "--no-pager", "-u", unit).Stdout)
	}
	return at
}

// readersAfter wants all that needs the slots to have come after the units, and
// to have found two valid stores.
func (b *booted) readersAfter(t *testing.T, units ...string) {
	t.Helper()
	for _, reader := range readers() {
		at := b.active(t, reader+".service")
		for _, unit := range units {
			if before := b.active(t, unit); before > at {
				t.Errorf("%s came at %d, before %s at %d", reader, at, unit, before)
			}
		}
	}
}

// readOnly reports whether a slot is mounted read-only.
func (b *booted) readOnly(t *testing.T, name slot.Name) bool {
	t.Helper()
	return strings.Contains(string(b.run(t, "cat", "/proc/1/mountinfo").Stdout), fmt.Sprintf(" %s/%s ro", slot.DefaultRoot, name))
}

// TestBoot boots the units with systemd: the first start of a node, one with a
// stick, one without the program, one where a mount fails.
func TestBoot(t *testing.T) {
	testenv.NeedRoot(t)
	t.Run("first start", func(t *testing.T) {
		b := newMachine(t).boot(t)
		b.readersAfter(t, "nodeseal-slots.service", "var-lib-shared-nodeseal-a.mount", "var-lib-shared-nodeseal-b.mount")
		if serve, crio := b.active(t, "nodeseal-serve.service"), b.active(t, "crio.service"); serve > crio {
			t.Errorf("serve came at %d, after CRI-O at %d", serve, crio)
		}
		if !b.readOnly(t, slot.A) || !b.readOnly(t, slot.B) {
			t.Error("the slots are not mounted read-only")
		}
	})
	t.Run("stick", func(t *testing.T) {
		m := newMachine(t)
		sampleBundle(t, filepath.Join(m.stick, "release.tar.zst"))
		m.plugIn(t)
		b := m.boot(t)
		at := b.active(t, "nodeseal-slots.service")
		for _, reader := range readers() {
			if b.active(t, reader+".service") < at {
				t.Errorf("%s did not wait for the slots", reader)
			}
		}
		left := filepath.Join(t.TempDir(), "left")
		if err := os.Mkdir(left, 0o700); err != nil {
			t.Fatal(err)
		}
		harness.Must(t, "mount", "-o", "ro", m.device, left)
		t.Cleanup(func() { _ = exec.Command("umount", left).Run() })
		found, err := filepath.Glob(filepath.Join(left, "result-*.txt"))
		if err != nil || len(found) != 1 {
			t.Fatalf("results on the stick: %v, %v\n%s", found, err, b.run(t, "journalctl", "--no-pager", "-u", "nodeseal-import").Stdout)
		}
		said := string(harness.ReadFile(t, b.log)) + string(b.run(t, "journalctl", "--no-pager", "-u", "nodeseal-import").Stdout)
		for where, text := range map[string]string{"stick": string(harness.ReadFile(t, found[0])), "console and journal": said} {
			if !strings.Contains(text, "OK") {
				t.Errorf("the %s does not say OK:\n%s", where, text)
			}
		}
		if strings.Contains(string(b.run(t, "cat", "/proc/1/mountinfo").Stdout), " /run/nodeseal/stick ") {
			t.Error("the stick is still mounted")
		}
		if out := b.run(t, "/var/usrlocal/bin/nodeseal", "status", "--storage-conf", "/dev/null"); !strings.Contains(string(out.Stdout), "sealed (/var/lib/shared/nodeseal/a)") {
			t.Errorf("status:\n%s%s", out.Stdout, out.Stderr)
		}
	})
	t.Run("without the program", func(t *testing.T) {
		m := newMachine(t)
		if err := os.Remove(m.program()); err != nil {
			t.Fatal(err)
		}
		b := m.boot(t)
		b.readersAfter(t, "var-lib-shared-nodeseal-a.mount", "var-lib-shared-nodeseal-b.mount")
		if !b.readOnly(t, slot.A) || !b.readOnly(t, slot.B) {
			t.Error("the slots are not mounted read-only")
		}
	})
	t.Run("a mount fails", func(t *testing.T) {
		m := newMachine(t)
		if err := os.Remove(m.program()); err != nil {
			t.Fatal(err)
		}
		m.write(t, "etc/systemd/system/var-lib-shared-nodeseal-b.mount.d/broken.conf", "[Mount]\nWhat=/dev/null\nType=ext4\nOptions=\nOptions=ro\n")
		b := m.boot(t)
		b.readersAfter(t, "var-lib-shared-nodeseal-a.mount")
		if b.readOnly(t, slot.B) || b.systemctl(t, "is-failed", "var-lib-shared-nodeseal-b.mount") != "failed" {
			t.Error("the mount of slot b did not fail")
		}
		if state := b.systemctl(t, "is-active", "emergency.target"); state == "active" {
			t.Error("an emergency shell")
		}
	})
}

// sampleBundle makes a bundle of the sample release.
func sampleBundle(t *testing.T, path string) {
	t.Helper()
	sample, addr := servedSample(t)
	harness.MustNodeseal(t, "bundle", "--images", harness.WriteFile(t, "images.lst", sample.ImagesList()),
		"--registries-conf", harness.WriteFile(t, "registries.conf", samplerelease.RegistriesConf(addr)),
		"-o", path, "--work", filepath.Join(t.TempDir(), "work"))
}
