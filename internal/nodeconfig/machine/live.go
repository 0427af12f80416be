package machine

import (
	_ "embed" // the script
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
)

const (
	// MediumUnit mounts the store of an installation medium.
	MediumUnit = "nodeseal-medium.service"
	// MediumFile is the script of MediumUnit.
	MediumFile = "/etc/nodeseal/medium.sh"
	// LiveMemory is how many bytes of memory a live system should have: what OpenShift asks
	// of machines of the control plane.
	LiveMemory = 16 << 30

	// mediumWait is for how many seconds a live system waits for its medium.
	mediumWait = "60"
	// mediumCapabilities are what mounting needs.
	mediumCapabilities = "CAP_SYS_ADMIN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH"
)

// liveReaders are all that asks for images in a live system that installs a cluster, besides
// those of any node: units of the bootstrap machine, and of the agent-based installer.
const liveReaders = readers + " release-image.service crio-configure.service node-image-pull.service node-image-overlay.service bootkube.service " +
	"install-to-disk.service rpm-ostreed.service agent.service assisted-service-pod.service assisted-service-db.service assisted-service.service"

//go:embed medium.sh
var mediumScript []byte

// MediumScript returns the script that mounts the store of an installation medium.
func MediumScript() []byte { return slices.Clone(mediumScript) }

// Live says what the live system gets that installs a cluster, whose store stays on a medium.
type Live struct {
	// Release is the version, Digest that of the release image as references name it: a
	// medium without it is refused.
	Release string
	Digest  digest.Digest
	// StorageConf is the live system's whole storage.conf.
	StorageConf []byte
	// Registries are the drop-ins that send pulls to the answering registry.
	Registries []File
	// Key are the PEM public keys, one of which must have signed the program of the medium.
	Key []byte
	// Address is where the answering registry listens, "" is the default.
	Address string
}

// Files returns the files, sorted as they are to be read. Errors wrap ErrSettings.
func (l Live) Files() ([]File, error) {
	if l.Key == nil {
		return nil, Refuse("--key is missing: the live system takes the program of a medium only if a key signed it")
	}
	if err := l.Digest.Validate(); err != nil {
		return nil, Refuse("release image of %s: %v", l.Release, err)
	}
	conf, err := nodeconfig.StorageConf(l.StorageConf, []string{BakedMount})
	if err != nil {
		return nil, err
	}
	files := []File{
		{Path: StorageConfFile, Mode: fileMode, Content: conf},
		{Path: TmpfilesFile, Mode: fileMode, Content: emptyStores("/run/nodeseal", []string{BakedMount})},
	}
	files = append(files, l.Registries...)
	return append(files,
		File{Path: KeyFile, Mode: fileMode, Content: l.Key},
		File{Path: InstallFile, Mode: fileMode, Content: InstallScript()},
		File{Path: MediumFile, Mode: fileMode, Content: MediumScript()}), nil
}

// Units returns the units. Nothing requires them: where one fails, an empty store is left, and
// what asks goes on asking.
func (l Live) Units() ([]Unit, error) {
	install := Settings{}.installUnit()
	install.set("Unit", "Before", liveReaders)
	var units []Unit
	for _, u := range []unitText{install, l.mediumUnit()} {
		text, err := u.text()
		if err != nil {
			return nil, err
		}
		units = append(units, Unit{Name: u.name, Text: text, Enabled: u.enabled})
	}
	serve, err := nodeconfig.ServeUnit{Stores: []string{BakedMount}, Address: l.Address}.Text()
	if err != nil {
		return nil, err
	}
	order := unitText{name: nodeconfig.ServeUnitName}
	order.set("Unit", "After", InstallUnit, MediumUnit)
	order.set("Unit", "Before", liveReaders)
	dropIn, err := order.text()
	if err != nil {
		return nil, err
	}
	return append(units, Unit{Name: nodeconfig.ServeUnitName, Text: serve, Enabled: true, DropInName: "10-live.conf", DropIn: dropIn}), nil
}

// mediumUnit mounts the medium and its store, before anything asks for an image.
func (l Live) mediumUnit() unitText {
	u := unitText{name: MediumUnit, enabled: true}
	u.set("Unit", "Description", "Mounts the images of the installation medium, read-only")
	u.set("Unit", "After", "local-fs.target systemd-tmpfiles-setup.service", InstallUnit)
	u.set("Unit", "Before", liveReaders, nodeconfig.ServeUnitName)
	u.set("Service", "Type", "oneshot")
	u.set("Service", "RemainAfterExit", "yes")
	for _, v := range [][2]string{
		{"WAIT", mediumWait}, {"RELEASE", l.Release}, {"DIGEST", string(l.Digest)},
		{"STORE", BakedMount}, {"DEVICE", StickDevice}, {"MEMORY", strconv.Itoa(LiveMemory >> 10)},
	} {
		u.set("Service", "Environment", v[0]+"="+v[1])
	}
	u.set("Service", "ExecStart", "/bin/sh", MediumFile)
	u.set("Service", "StandardOutput", "journal+console")
	u.set("Service", "StandardError", "journal+console")
	u.set("Service", "TimeoutStartSec", "3min")
	u.set("Service", "MemoryMax", "512M")
	u.set("Service", "TasksMax", "64")
	u.harden(mediumCapabilities)
	u.set("Install", "WantedBy", plugged())
	return u
}
