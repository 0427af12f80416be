package machine

import (
	"fmt"
	"io"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
)

const (
	// InstallUnit installs the program from a stick where it is missing.
	InstallUnit = "nodeseal-install.service"
	// SlotsUnit makes and mounts the slots.
	SlotsUnit = "nodeseal-slots.service"
	// ImportUnit imports from a stick.
	ImportUnit = "nodeseal-import.service"
	// FirstBootUnit is the MCO's: it writes the node's operating system, and restarts it.
	FirstBootUnit = "machine-config-daemon-firstboot.service"
	// PullUnit is the MCO's: on a node's first boot it pulls until it succeeds.
	PullUnit = "machine-config-daemon-pull.service"

	// StickLabel is the label of the file system that ImportUnit looks for.
	StickLabel = "NODESEAL"
	// StickDevice is the device with it, as udev names it.
	StickDevice = "/dev/disk/by-label/" + StickLabel
	// StickDir is where the program mounts it meanwhile.
	StickDir = "/run/nodeseal/stick"

	restorecon = "/usr/sbin/restorecon"
)

// readers are all that opens image stores at boot. They wait for the slots, and
// go on where something fails: nothing requires a unit of ours.
const readers = "kubelet-dependencies.target crio.service crio-wipe.service kubelet.service " + PullUnit + " " + FirstBootUnit +
	" nodeip-configuration.service on-prem-resolv-prepender.service"

// Units returns the units.
func (s Settings) Units() ([]Unit, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	serve, err := nodeconfig.ServeUnit{Stores: s.Stores(), Address: s.Address}.Text()
	if err != nil {
		return nil, err
	}
	units := []Unit{{Name: nodeconfig.ServeUnitName, Text: serve, Enabled: true}}
	var texts []unitText
	if s.Key != nil {
		texts = append(texts, s.installUnit())
	}
	texts = append(texts, s.slotsUnit())
	if len(s.Unreached) > 0 {
		texts = append(texts, s.hostsUnit())
	}
	for _, slot := range s.Stores() {
		texts = append(texts, mountUnit(slot))
	}
	texts = append(texts, s.importUnit())
	for _, t := range texts {
		text, err := t.text()
		if err != nil {
			return nil, err
		}
		units = append(units, Unit{Name: t.name, Text: text, Enabled: t.enabled})
	}
	dropIn, err := pullDropIn().text()
	if err != nil {
		return nil, err
	}
	return append(units, Unit{Name: PullUnit, DropInName: "10-nodeseal.conf", DropIn: dropIn}), nil
}

// unitText is a unit in the making.
type unitText struct {
	name    string
	enabled bool
	options []*unit.UnitOption
}

func (u *unitText) set(section, name string, values ...string) {
	u.options = append(u.options, unit.NewUnitOption(section, name, strings.Join(values, " ")))
}

func (u unitText) text() ([]byte, error) {
	data, err := io.ReadAll(unit.Serialize(u.options))
	if err != nil {
		return nil, fmt.Errorf("writing unit %s: %w", u.name, err)
	}
	return data, nil
}

// slotsUnit makes slots that are missing or hollow, and mounts all: the program
// knows every form of a store. Where the program is not there, tmpfiles.d and
// the mount units do what can be done without it.
func (s Settings) slotsUnit() unitText {
	u := unitText{name: SlotsUnit, enabled: true}
	u.set("Unit", "Description", "Makes missing image store slots and mounts all of them read-only")
	u.set("Unit", "ConditionFileIsExecutable", nodeconfig.DefaultBinary)
	u.set("Unit", "RequiresMountsFor", s.Root)
	u.set("Unit", "After", "systemd-tmpfiles-setup.service", InstallUnit)
	u.set("Unit", "Before", readers)
	u.set("Service", "Type", "oneshot")
	u.set("Service", "RemainAfterExit", "yes")
	// systemd executes nothing that has the label of a stick or a home directory.
	u.set("Service", "ExecStartPre", "-"+restorecon, nodeconfig.DefaultBinary)
	u.set("Service", "ExecStart", nodeconfig.DefaultBinary, "mount --root", s.Root)
	u.set("Service", "TimeoutStartSec", "2min")
	u.set("Service", "MemoryMax", "512M")
	u.set("Service", "TasksMax", "256")
	u.harden(capabilities)
	u.set("Install", "WantedBy", "multi-user.target")
	return u
}

// mountUnit mounts a slot read-only over itself, unless it is. It does not
// belong to local-fs.target: a failure there is an emergency shell, here it
// leaves a valid store that is writable.
func mountUnit(slot string) unitText {
	u := unitText{name: MountUnit(slot), enabled: true}
	u.set("Unit", "Description", "Image store slot", slot+",", "read-only")
	u.set("Unit", "DefaultDependencies", "no")
	u.set("Unit", "Conflicts", "umount.target")
	u.set("Unit", "After", "local-fs.target systemd-tmpfiles-setup.service", SlotsUnit)
	u.set("Unit", "Before", readers, ImportUnit, nodeconfig.ServeUnitName, "umount.target")
	u.set("Mount", "What", slot)
	u.set("Mount", "Where", slot)
	u.set("Mount", "Type", "none")
	u.set("Mount", "Options", "bind,ro")
	u.set("Mount", "TimeoutSec", "30")
	u.set("Install", "WantedBy", "multi-user.target")
	return u
}

// MountUnit returns the name of the mount unit of a directory.
func MountUnit(dir string) string { return unit.UnitNamePathEscape(dir) + ".mount" }

// importUnit runs whenever a stick with the label turns up, at boot before
// anything reads the slots, and never otherwise. The boot wants it by itself, not only
// the device: a device that turns up later than the readers start would not hold them up. The program mounts the stick: a mount
// unit can ask neither for one of several file systems nor for a mount without links.
func (s Settings) importUnit() unitText {
	u := unitText{name: ImportUnit, enabled: true}
	u.set("Unit", "Description", "Imports the bundle on a stick into the free image store slot")
	u.set("Unit", "ConditionFileIsExecutable", nodeconfig.DefaultBinary)
	u.set("Unit", "ConditionPathExists", StickDevice)
	u.set("Unit", "After", InstallUnit, SlotsUnit)
	u.set("Unit", "Before", readers, nodeconfig.ServeUnitName)
	u.set("Service", "Type", "oneshot")
	command := []string{nodeconfig.DefaultBinary, "import-stick", StickDir, "--device", StickDevice, "--root", s.Root}
	if s.Key != nil {
		command = append(command, "--key", KeyFile)
	}
	u.set("Service", "ExecStart", command...)
	u.set("Service", "StandardOutput", "journal+console")
	u.set("Service", "StandardError", "journal+console")
	// At boot kubelet waits for it; what it has not finished is gone on with when the
	// stick is plugged in again.
	u.set("Service", "TimeoutStartSec", "45min")
	u.set("Service", "MemoryMax", "1G")
	u.set("Service", "TasksMax", "256")
	u.harden(capabilities)
	u.set("Install", "WantedBy", plugged())
	return u
}

// pullDropIn lets the first pull of a new node wait for the answering registry.
// It names no image, so that it is the same for every release.
func pullDropIn() unitText {
	u := unitText{name: PullUnit}
	u.set("Unit", "Wants", SlotsUnit, nodeconfig.ServeUnitName)
	u.set("Unit", "After", InstallUnit, SlotsUnit, ImportUnit, nodeconfig.ServeUnitName)
	return u
}
