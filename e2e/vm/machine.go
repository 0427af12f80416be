//go:build e2evm

package vm

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// hangs is longer than anything takes here, also without KVM on a machine with much else to do.
const hangs = 20 * time.Minute

// kernelWords leave out what takes long where each instruction is emulated.
const kernelWords = "root=/dev/vda ro console=ttyS0 quiet systemd.show_status=0 apparmor=0 " +
	"mitigations=off nokaslr tsc=reliable cryptomgr.notests random.trust_cpu=on "

// machine is a node that is switched on.
type machine struct {
	node    *node
	cmd     *exec.Cmd
	console string
	log     string // QEMU's own
	qmp     string
	agent   net.Conn
	answers *bufio.Reader
}

// boot switches the node on, and returns when it takes commands: before anything of ours
// has started.
func (n *node) boot(t *testing.T) *machine {
	t.Helper()
	var args []string
	for i, data := range n.data {
		args = append(args, "-drive", "if=none,id="+diskName(i)+",format=raw,file="+data, "-device", scsiDisk(i))
	}
	m := n.power(t, args...)
	if line := m.read(t); line != "ready" {
		t.Fatalf("the machine begins with %q", line)
	}
	return m
}

// power starts QEMU.
func (n *node) power(t *testing.T, more ...string) *machine {
	t.Helper()
	n.boots++
	dir := n.dir
	m := &machine{
		node:    n,
		console: filepath.Join(dir, fmt.Sprintf("console-%d", n.boots)),
		log:     filepath.Join(dir, fmt.Sprintf("qemu-%d", n.boots)),
		qmp:     filepath.Join(dir, "qmp"),
	}
	for _, socket := range []string{m.qmp, n.agentSocket(), n.crioSocket()} {
		_ = os.Remove(socket) // those of the boot before
	}
	words := kernelWords + "selinux=0 audit=0"
	if n.selinux {
		words = kernelWords + "security=selinux selinux=1 enforcing=1"
	}
	args := []string{
		// Emulated everywhere alike: few machines of CI have KVM.
		"-accel", "tcg,thread=multi,tb-size=512", "-M", "q35,sata=off,smbus=off", "-cpu", "qemu64", "-smp", "2", "-m", "2G", "-nodefaults", "-no-reboot", "-display", "none",
		// The machine has no network card: only lo.
		"-kernel", filepath.Join(n.built, "kernel"), "-initrd", filepath.Join(n.built, "initrd"), "-append", words,
		"-drive", "file=" + n.disk + ",if=virtio,format=qcow2",
		"-serial", "file:" + m.console, "-qmp", "unix:" + m.qmp + ",server=on,wait=off",
		"-device", "qemu-xhci,id=usb", "-device", "virtio-scsi-pci,id=scsi", "-device", "virtio-serial",
		// QEMU waits for the test.
		"-chardev", "socket,id=agent,path=" + n.agentSocket() + ",server=on,wait=on",
		"-device", "virtserialport,chardev=agent,name=agent",
		"-chardev", "socket,id=crio,path=" + n.crioSocket() + ",server=on,wait=off",
		"-device", "virtserialport,chardev=crio,name=crio",
	}
	m.cmd = exec.Command(testenv.NeedTool(t, "qemu-system-x86_64"), append(args, more...)...)
	said, err := os.Create(m.log)
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	m.cmd.Stdout, m.cmd.Stderr = said, said
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.cut() })
	for m.agent == nil {
		if m.agent, err = net.Dial("unix", n.agentSocket()); err == nil {
			break
		}
		if m.gone() {
			t.Fatalf("qemu: %s", harness.ReadFile(t, m.log))
		}
		time.Sleep(50 * time.Millisecond)
	}
	m.answers = bufio.NewReader(m.agent)
	return m
}

func (n *node) agentSocket() string { return filepath.Join(n.dir, "agent") }
func (n *node) crioSocket() string  { return filepath.Join(n.dir, "crio") }

// diskName is what the machine finds a data disk by; the root file system's table has the first.
func diskName(i int) string {
	if i == 0 {
		return "shared"
	}
	return fmt.Sprintf("data%d", i)
}

func scsiDisk(i int) string {
	return fmt.Sprintf("scsi-hd,bus=scsi.0,drive=%[1]s,id=%[1]s,serial=%[1]s", diskName(i))
}

// device is the path of a data disk in the machine.
func device(i int) string { return "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_" + diskName(i) }

// gone reports whether QEMU has ended. Its parent has not waited for it yet.
func (m *machine) gone() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// cut takes the power away. What the machine had not written to its disk is lost.
func (m *machine) cut() {
	if m.cmd.ProcessState != nil {
		return
	}
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait() // it was killed
	if m.agent != nil {
		_ = m.agent.Close()
	}
}

func (m *machine) read(t *testing.T) string {
	t.Helper()
	err := m.agent.SetReadDeadline(time.Now().Add(hangs))
	var line string
	if err == nil {
		line, err = m.answers.ReadString('\n')
	}
	if err != nil {
		t.Fatalf("the machine does not answer: %v\n%s", err, m.said(t))
	}
	return strings.TrimSpace(line)
}

// said is the end of what QEMU and the console show.
func (m *machine) said(t *testing.T) string {
	t.Helper()
	data := append(harness.ReadFile(t, m.log), harness.ReadFile(t, m.console)...)
	return string(data[max(0, len(data)-8<<10):])
}

// run runs a script in the machine and returns its exit code and what it printed.
func (m *machine) run(t *testing.T, script string) (int, string) {
	t.Helper()
	if _, err := fmt.Fprintln(m.agent, base64.StdEncoding.EncodeToString([]byte(script))); err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(m.read(t), " ")
	code, err := strconv.Atoi(first)
	out, err2 := base64.StdEncoding.DecodeString(rest)
	if err := errors.Join(err, err2); err != nil {
		t.Fatalf("the answer to %q: %v", script, err)
	}
	return code, strings.TrimSpace(string(out))
}

// must is run for what has to succeed.
func (m *machine) must(t *testing.T, script string) string {
	t.Helper()
	code, out := m.run(t, script)
	if code != 0 {
		t.Fatalf("%s: exit code %d\n%s", script, code, out)
	}
	return out
}

// await runs a script until it succeeds.
func (m *machine) await(t *testing.T, script string) {
	t.Helper()
	for end := time.Now().Add(hangs); ; time.Sleep(500 * time.Millisecond) {
		code, out := m.run(t, script)
		if code == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: never true, last %d\n%s\n%s", script, code, out, m.said(t))
		}
	}
}

// up waits until systemd has started everything, and wants no unit to have failed.
func (m *machine) up(t *testing.T) {
	t.Helper()
	m.must(t, "until [[ $(systemctl is-system-running) =~ running|degraded ]]; do sleep 2; done")
	if failed := m.must(t, "systemctl --failed --plain --no-legend"); failed != "" {
		t.Errorf("units failed:\n%s\n%s", failed, m.must(t, "journalctl --no-pager -b -p warning | tail -n 40"))
	}
}

// off switches the machine off as an administrator does.
func (m *machine) off(t *testing.T) {
	t.Helper()
	if _, err := fmt.Fprintln(m.agent, base64.StdEncoding.EncodeToString([]byte("systemctl poweroff"))); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(hangs); !m.gone(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the machine does not end\n%s", m.said(t))
		}
	}
	_ = m.cmd.Wait() // how it ended is of no interest
	_ = m.agent.Close()
}
