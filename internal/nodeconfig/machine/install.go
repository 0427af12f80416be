package machine

import (
	_ "embed" // the script
	"path"
	"slices"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
)

// InstallFile is where a node with a key has InstallScript: the script of a stick
// proves nothing about that stick.
const InstallFile = "/etc/nodeseal/install.sh"

// installWait is for how many seconds a boot without the program waits for a stick. Those
// of a server's own management processor take several to be there.
const installWait = "30"

//go:embed install.sh
var installScript []byte

// InstallScript returns the script that puts the program of a stick on a node, if the
// key of the node signed it.
func InstallScript() []byte { return slices.Clone(installScript) }

// installUnit installs the program from a stick, on a node that has none: a new one, or
// one with a new disk. The units after it ask for the program when they start, and
// so find it. An installed program is never replaced: an older one that the key rightly
// signed would be, too. It mounts the stick in a namespace of its own, from
// which nothing is left.
func (s Settings) installUnit() unitText {
	u := unitText{name: InstallUnit, enabled: true}
	u.set("Unit", "Description", "Installs nodeseal from a stick")
	u.set("Unit", "ConditionFileIsExecutable", "!"+nodeconfig.DefaultBinary)
	u.set("Unit", "RequiresMountsFor", path.Dir(nodeconfig.DefaultBinary))
	u.set("Unit", "After", "systemd-tmpfiles-setup.service")
	u.set("Unit", "Before", readers, SlotsUnit, ImportUnit, nodeconfig.ServeUnitName)
	// With a stick that is plugged in when the node is up, these were passed over.
	u.set("Unit", "Wants", SlotsUnit, ImportUnit, nodeconfig.ServeUnitName)
	u.set("Service", "Type", "oneshot")
	u.set("Service", "Environment", "WAIT="+installWait)
	u.set("Service", "ExecStart", "/bin/sh", InstallFile, "--device", StickDevice)
	u.set("Service", "StandardOutput", "journal+console")
	u.set("Service", "StandardError", "journal+console")
	u.set("Service", "TimeoutStartSec", "5min")
	u.set("Service", "MemoryMax", "1G")
	u.set("Service", "TasksMax", "64")
	u.harden(installCapabilities)
	u.alone("/var") // the folder of the program may be missing
	u.set("Install", "WantedBy", plugged())
	return u
}

// plugged is what starts units that look for a stick: the boot, and a stick.
func plugged() string { return "multi-user.target " + unit.UnitNamePathEscape(StickDevice) + ".device" }
