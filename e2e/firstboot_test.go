//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// mcdPull and mcdFirstBoot stand for the MCO's units of a first boot: the same order, and
// the same programs ask for the same images. In the place of a container that has
// rpm-ostree rebase, skopeo, which rpm-ostree runs for that, reads the operating system's.
const (
	mcdPull = `[Unit]
Description=Stands for the machine-config daemon's pull
ConditionPathExists=/etc/ignition-machine-config-encapsulated.json
Wants=crio-wipe.service
After=crio-wipe.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c "while ! podman pull %[1]s; do sleep 1; done"
`
	mcdFirstBoot = `[Unit]
Description=Stands for the machine-config daemon's first boot
ConditionPathExists=/etc/ignition-machine-config-encapsulated.json
Requires=machine-config-daemon-pull.service
After=machine-config-daemon-pull.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/podman image inspect --format {{.Id}} %[1]s
ExecStart=/usr/bin/skopeo --tmpdir /var/tmp copy --quiet docker://%[2]s oci:/var/tmp/os:os
ExecStart=/bin/rm /etc/ignition-machine-config-encapsulated.json
`
	firstBootUnit = "machine-config-daemon-firstboot.service"
	pullUnit      = "machine-config-daemon-pull.service"
)

// notInRHEL8 are system calls that its kernel, 4.18, has not.
const notInRHEL8 = "openat2 open_tree move_mount mount_setattr fsopen fsconfig fsmount fspick faccessat2 close_range epoll_pwait2"

// firstBoot is what new nodes of a cluster have in common.
type firstBoot struct {
	release      *osRelease
	pub          string
	stick, other string // filled sticks: one of the key, and one of another
}

func newFirstBoot(t *testing.T) *firstBoot {
	t.Helper()
	for _, tool := range []string{"systemd-nspawn", "podman", "skopeo", "openssl"} {
		testenv.NeedTool(t, tool)
	}
	f := &firstBoot{release: makeOSRelease(t, "boot", "")}
	key, pub := newKeyPair(t)
	f.pub = pub
	other, _ := newKeyPair(t)
	f.other, f.stick = f.fillStick(t, other), f.fillStick(t, key)
	return f
}

// newKeyPair makes the key of a node, private and public.
func newKeyPair(t *testing.T) (key, pub string) {
	t.Helper()
	dir := t.TempDir()
	key, pub = filepath.Join(dir, "key.pem"), filepath.Join(dir, "pub.pem")
	harness.Must(t, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
	harness.Must(t, "openssl", "pkey", "-in", key, "-pubout", "-out", pub)
	return key, pub
}

// machine is a node that its configuration has just been written to, and nothing else.
func (f *firstBoot) machine(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	m.containers = filepath.Join(filepath.Dir(m.slots), "containers")
	if err := os.Mkdir(m.containers, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(m.root, "var/usrlocal")); err != nil {
		t.Fatal(err)
	}
	harness.MustNodeseal(t, "config", "units", "--bundle", f.release.bundle, "--key", f.pub, "-o", m.root)
	harness.MustNodeseal(t, "config", "registries", "--bundle", f.release.bundle, "-o", m.root)
	conf := harness.WriteFile(t, "storage.conf", "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\ngraphroot = \"/var/lib/containers/storage\"\n")
	m.write(t, "etc/containers/storage.conf", string(harness.MustNodeseal(t, "config", "storage.conf", "--from", conf,
		"--store", slot.DefaultRoot+"/a", "--store", slot.DefaultRoot+"/b").Stdout))
	m.write(t, "etc/containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	m.write(t, "etc/ignition-machine-config-encapsulated.json", "{}")
	m.write(t, "etc/systemd/system/"+pullUnit, fmt.Sprintf(mcdPull, f.release.daemon))
	m.write(t, "etc/systemd/system/"+firstBootUnit, fmt.Sprintf(mcdFirstBoot, f.release.daemon, f.release.ref))
	m.want(t, firstBootUnit)
	m.want(t, "nodeseal-install.service")
	// The unit waits for the devices of a real machine.
	m.write(t, "etc/systemd/system/nodeseal-install.service.d/wait.conf", "[Service]\nEnvironment=WAIT=1\n")
	return m
}

// fillStick fills a stick with a bundle and a program that the key signed.
func (f *firstBoot) fillStick(t *testing.T, key string) string {
	t.Helper()
	dir := t.TempDir()
	harness.MustNodeseal(t, "sign", f.release.bundle, "--key", key)
	harness.MustNodeseal(t, "carry", dir, "--bundle", f.release.bundle, "--sign-key", key)
	return dir
}

// said is what the console and the journal have.
func (b *booted) said(t *testing.T) string {
	t.Helper()
	return string(harness.ReadFile(t, b.log)) + string(b.run(t, "journalctl", "--no-pager", "-b").Stdout)
}

// await waits until a unit is in a state.
func (b *booted) await(t *testing.T, unit, state string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		is := b.systemctl(t, "show", unit, "--property", "ActiveState", "--value")
		if is == state {
			return
		}
		if time.Now().After(deadline) || is == "failed" {
			t.Fatalf("%s is %s, want %s\n%s\n%s", unit, is, state, b.systemctl(t, "list-jobs"), b.said(t))
		}
	}
}

// began and ended are when a unit's program began and ended, in microseconds.
func (b *booted) began(t *testing.T, unit string) int64 {
	return b.mark(t, unit, "ExecMainStartTimestampMonotonic")
}

func (b *booted) ended(t *testing.T, unit string) int64 {
	return b.mark(t, unit, "ExecMainExitTimestampMonotonic")
}

func (b *booted) mark(t *testing.T, unit, property string) int64 {
	t.Helper()
	at, err := strconv.ParseInt(b.systemctl(t, "show", unit, "--property", property, "--value"), 10, 64)
	if err != nil || at == 0 {
		t.Errorf("%s: %s is %d, %v\n%s", unit, property, at, err, b.run(t, "journalctl", "--no-pager", "-u", unit).Stdout)
	}
	return at
}

// joined wants the first boot to have come to its end: both images came from the slot.
func (f *firstBoot) joined(t *testing.T, m *machine, b *booted) {
	t.Helper()
	b.await(t, firstBootUnit, "active")
	_, want, _ := strings.Cut(f.release.ref, "@")
	if index := string(harness.ReadFile(t, m.root, "var/tmp/os/index.json")); !strings.Contains(index, want) {
		t.Errorf("the operating system's image is %s, want %s", index, want)
	}
}

// TestFirstBoot boots new nodes: with the stick in the USB port and nothing else; without
// it; with one of another key.
func TestFirstBoot(t *testing.T) {
	testenv.NeedRoot(t)
	f := newFirstBoot(t)
	t.Run("Stick", func(t *testing.T) {
		m := f.machine(t)
		m.stick = f.stick
		m.plugIn(t)
		b := m.boot(t)
		f.joined(t, m, b)
		for _, pair := range [][2]string{
			{"nodeseal-install.service", "nodeseal-slots.service"},
			{"nodeseal-slots.service", "nodeseal-import.service"},
			{"nodeseal-import.service", "nodeseal-serve.service"},
			{"nodeseal-import.service", pullUnit},
			{pullUnit, firstBootUnit},
		} {
			if ended, began := b.ended(t, pair[0]), b.began(t, pair[1]); began < ended {
				t.Errorf("%s began at %d, before %s ended at %d", pair[1], began, pair[0], ended)
			}
		}
		if serve, pull := b.active(t, "nodeseal-serve.service"), b.began(t, pullUnit); serve > pull {
			t.Errorf("serve came at %d, after the pull began at %d", serve, pull)
		}
		for _, reader := range readers() {
			if at, imported := b.active(t, reader+".service"), b.ended(t, "nodeseal-import.service"); at < imported {
				t.Errorf("%s came at %d, before the import ended at %d", reader, at, imported)
			}
		}
		if mounts := string(b.run(t, "cat", "/proc/1/mountinfo").Stdout); strings.Contains(mounts, " ext4 "+m.device+" ") {
			t.Errorf("the stick is still mounted:\n%s", mounts)
		}
		b.off()
		// The next start finds the program and the slot, and the stick still in its port.
		b = m.boot(t)
		for _, reader := range []string{"crio-wipe.service", "crio.service", "kubelet.service"} {
			if at, slots := b.active(t, reader), b.active(t, "nodeseal-slots.service"); at < slots {
				t.Errorf("after a restart %s came at %d, before the slots at %d", reader, at, slots)
			}
		}
		if began := b.systemctl(t, "show", "nodeseal-install.service", "--property", "ExecMainStartTimestampMonotonic", "--value"); began != "0" {
			t.Errorf("the program was installed again, at %s", began)
		}
		if text := b.said(t); !strings.Contains(text, "holds this bundle") && !strings.Contains(text, "already") {
			t.Errorf("the second import:\n%s", text)
		}
	})
	t.Run("WithoutStick", func(t *testing.T) {
		m := f.machine(t)
		// When the stick comes, the programs run as on the kernel and with the systemd of RHEL 8.
		for _, unit := range []string{"nodeseal-slots", "nodeseal-import", "nodeseal-serve"} {
			m.write(t, "etc/systemd/system/"+unit+".service.d/old.conf", "[Service]\nSystemCallFilter=~"+notInRHEL8+"\n")
		}
		m.stick = f.stick
		m.plugIn(t)
		late := filepath.Join(m.root, "etc/tmpfiles.d/stick.conf")
		held := filepath.Join(t.TempDir(), "stick.conf")
		harness.Must(t, "mv", late, held)
		b := m.power(t)
		b.hangsAlone(t, "there is no stick with the label NODESEAL")
		// The stick comes later. In a container there is no udev to start the unit with it.
		harness.Must(t, "cp", held, late)
		b.run(t, "systemd-tmpfiles", "--create", "/etc/tmpfiles.d/stick.conf")
		b.systemctl(t, "start", "--no-block", "nodeseal-install.service")
		f.joined(t, m, b)
		if allowed := b.systemctl(t, "show", "nodeseal-import.service", "--property", "SystemCallFilter", "--value"); strings.Contains(allowed, "openat2") || !strings.Contains(allowed, "openat") {
			t.Errorf("the import ran with %s", allowed)
		}
	})
	t.Run("AnotherKey", func(t *testing.T) {
		m := f.machine(t)
		m.stick = f.other
		m.plugIn(t)
		b := m.power(t)
		b.hangsAlone(t, "is not signed by the key of this node")
		if _, err := os.Stat(m.program()); err == nil {
			t.Error("the program of another key is installed")
		}
	})
}

// hangsAlone wants the first pull to go on asking, as on a node without us, and all else
// to have started; and the console and the journal to name what is missing.
func (b *booted) hangsAlone(t *testing.T, missing string) {
	t.Helper()
	b.await(t, pullUnit, "activating")
	for _, reader := range readers() {
		if unit := reader + ".service"; unit != pullUnit {
			b.await(t, unit, "active")
		}
	}
	for _, unit := range []string{"nodeseal-slots.service", "nodeseal-import.service", "nodeseal-serve.service"} {
		b.await(t, unit, "inactive")
	}
	if state := b.systemctl(t, "is-failed", "nodeseal-install.service"); state != "failed" {
		t.Errorf("nodeseal-install.service is %s", state)
	}
	// The console of a container is no terminal, which the journal would not write to.
	if to := b.systemctl(t, "show", "nodeseal-install.service", "--property", "StandardError", "--value"); to != "journal+console" {
		t.Errorf("nodeseal-install.service prints to %s", to)
	}
	if text := string(b.run(t, "journalctl", "--no-pager", "-u", "nodeseal-install").Stdout); !strings.Contains(text, "FAILED: ") || !strings.Contains(text, missing) {
		t.Errorf("the journal does not say %q:\n%s", missing, text)
	}
}
