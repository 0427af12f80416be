package machine

import (
	"path"
	"regexp"
	"strings"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
)

const (
	// BakedMount is where a store that lies in the operating system's image is mounted, by
	// default: systemd makes the directory, also where / and /usr are read-only.
	BakedMount = "/run/nodeseal_images"
	// BakedBinary is where the program lies in such an image, by default.
	BakedBinary = "/usr/bin/nodeseal"
	// BakedLabel is the SELinux label of all files of the store, by default: containers may
	// read them. Mounts leave it out on machines without SELinux.
	BakedLabel = "system_u:object_r:container_ro_file_t:s0"
)

// Baked says what a node gets whose operating system has its images with it, as one EROFS
// file: no slots, and no import.
type Baked struct {
	// Image is the file of the store, Mount where it is mounted.
	Image, Mount string
	// Binary is the program, for the answering registry.
	Binary string
	// Label is the SELinux label of the mount, "" gives none.
	Label string
	// StorageConf is the node's whole storage.conf.
	StorageConf []byte
	// Registries are the drop-ins that send pulls to the answering registry.
	Registries []File
	// Pins are references, or what they begin with and "*".
	Pins []string
	// Address is where the answering registry listens, "" is the default.
	Address string
}

// labelPattern is what a mount takes as an SELinux context with no quoting.
var labelPattern = regexp.MustCompile(`^[a-zA-Z0-9_.:-]*$`)

// Check reports everything in the settings that would break a node. Errors wrap ErrSettings.
func (b Baked) Check() error {
	for flag, name := range map[string]string{"--image": b.Image, "--mount": b.Mount, "--program": b.Binary} {
		if !rootPattern.MatchString(name) || path.Clean(name) != name {
			return Refuse("%s %q: want an absolute path of letters, digits and . _ - only", flag, name)
		}
	}
	if !labelPattern.MatchString(b.Label) {
		return Refuse("--label %q: want an SELinux context such as %s", b.Label, BakedLabel)
	}
	if b.Image == b.Mount || strings.HasPrefix(b.Image, b.Mount+"/") {
		return Refuse("--mount %s would hide --image %s", b.Mount, b.Image)
	}
	for _, pin := range b.Pins {
		if err := checkPin(pin); err != nil {
			return err
		}
	}
	return nil
}

// Tree returns the files, sorted as they are to be read. The units must be enabled; Enabled
// names them.
func (b Baked) Tree() ([]File, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	conf, err := nodeconfig.StorageConf(b.StorageConf, []string{b.Mount})
	if err != nil {
		return nil, err
	}
	files := []File{{Path: StorageConfFile, Mode: fileMode, Content: conf}}
	files = append(files, b.Registries...)
	if len(b.Pins) > 0 {
		pins, err := pinsConf(b.Pins)
		if err != nil {
			return nil, err
		}
		files = append(files, File{Path: PinsFile, Mode: fileMode, Content: pins})
	}
	u := b.mountUnit()
	mount, err := u.text()
	if err != nil {
		return nil, err
	}
	serve, err := nodeconfig.ServeUnit{Binary: b.Binary, Stores: []string{b.Mount}, Address: b.Address}.Text()
	if err != nil {
		return nil, err
	}
	return append(files,
		File{Path: UnitDir + u.name, Mode: fileMode, Content: mount},
		File{Path: UnitDir + nodeconfig.ServeUnitName, Mode: fileMode, Content: serve}), nil
}

// Enabled returns the names of the units that must be enabled.
func (b Baked) Enabled() []string { return []string{MountUnit(b.Mount), nodeconfig.ServeUnitName} }

// mountUnit mounts the file before anything reads stores. Nothing requires it, as nothing
// requires a slot's.
func (b Baked) mountUnit() unitText {
	options := []string{"ro", "loop"}
	if b.Label != "" {
		options = append(options, "context="+b.Label)
	}
	u := unitText{name: MountUnit(b.Mount), enabled: true}
	u.set("Unit", "Description", "Images of", b.Image+",", "read-only")
	u.set("Unit", "DefaultDependencies", "no")
	u.set("Unit", "Conflicts", "umount.target")
	u.set("Unit", "After", "local-fs.target systemd-tmpfiles-setup-dev.service")
	u.set("Unit", "Before", readers, nodeconfig.ServeUnitName, "umount.target")
	u.set("Mount", "What", b.Image)
	u.set("Mount", "Where", b.Mount)
	u.set("Mount", "Type", "erofs")
	u.set("Mount", "Options", strings.Join(options, ","))
	u.set("Mount", "TimeoutSec", "30")
	u.set("Install", "WantedBy", "multi-user.target")
	return u
}
