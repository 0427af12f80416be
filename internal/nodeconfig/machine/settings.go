// Package machine says what a node gets: files and systemd units, as text. It
// is pure: settings in, text out. Nothing in it depends on a release: a new one
// changes no file and reboots no node.
package machine

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"strings"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
)

const (
	// StorageConfFile is where podman and CRI-O have their storage.conf.
	StorageConfFile = "/etc/containers/storage.conf"
	// KeyFile is where the node has the public key of its bundles.
	KeyFile = "/etc/nodeseal/bundle.pub"
	// PinsFile is the drop-in of CRI-O with the pinned images. Arrays of drop-ins
	// replace each other: this one comes last.
	PinsFile = "/etc/crio/crio.conf.d/99-zzz-nodeseal-pins.conf"
	// ArtifactsFile is the drop-in of CRI-O with the stores of OCI artifacts.
	ArtifactsFile = "/etc/crio/crio.conf.d/99-nodeseal-artifacts.conf"
	// TmpfilesFile makes the empty slots at boot.
	TmpfilesFile = "/etc/tmpfiles.d/nodeseal.conf"
	// NameserverFile is the drop-in of NetworkManager with the nameserver.
	NameserverFile = "/etc/NetworkManager/conf.d/99-nodeseal-dns.conf"

	fileMode = 0o644
)

// ErrSettings reports settings that make no sense, or would break a node; the
// message says why.
var ErrSettings = errors.New("configuration refused")

// Refuse returns an error that wraps ErrSettings.
func Refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSettings, fmt.Sprintf(format, args...))
}

// File is a file of a node.
type File struct {
	Path    string // absolute
	Mode    int
	Content []byte
}

// Unit is a systemd unit of a node, or drop-ins of one that the node has.
type Unit struct {
	Name string
	// Text is nil where there are only drop-ins.
	Text []byte
	// Enabled says that what [Install] names starts it.
	Enabled bool
	// DropIn is the text of a drop-in with the name DropInName.
	DropInName string
	DropIn     []byte
}

// Settings say what a node gets. Root and Slots must be set.
type Settings struct {
	// Root is the directory with the slots, Slots are their names.
	Root  string
	Slots []string
	// StorageConf is the node's whole storage.conf, nil leaves it alone.
	StorageConf []byte
	// Registries are the drop-ins that send pulls to the answering registry.
	Registries []File
	// Pins are references, or what they begin with and "*".
	Pins []string
	// Artifacts has CRI-O look for OCI artifacts in the slots, with a drop-in of its own.
	Artifacts bool
	// Nameserver is the only nameserver of a machine that has none; the zero value
	// leaves the node's alone.
	Nameserver netip.Addr
	// Unreached are hosts of registries that the nodes never reach: /etc/hosts answers for
	// them. A node that is to reach them must not have it.
	Unreached []string
	// Key are the PEM public keys, one of which must have signed the bundle and the
	// program of a stick; nil takes any bundle.
	Key []byte
	// Address is where the answering registry listens, "" is the default.
	Address string
}

// rootPattern is what a ContainerRuntimeConfig allows as the path of a store;
// systemd and tmpfiles.d need no quoting for it either.
var rootPattern = regexp.MustCompile(`^/[a-zA-Z0-9/._-]+$`)

// Stores returns the paths of the slots.
func (s Settings) Stores() []string {
	paths := make([]string, len(s.Slots))
	for i, name := range s.Slots {
		paths[i] = path.Join(s.Root, name)
	}
	return paths
}

// Check reports everything in the settings that would break a node. Errors wrap
// ErrSettings or nodeconfig.ErrStorePath, or are a *nodeconfig.OverlapError.
func (s Settings) Check() error {
	var errs []error
	switch {
	case !rootPattern.MatchString(s.Root) || path.Clean(s.Root) != s.Root:
		errs = append(errs, Refuse("--root %q: want an absolute path of letters, digits and . _ - only", s.Root))
	case !strings.HasPrefix(s.Root, "/var/"):
		errs = append(errs, Refuse("--root %s: only /var is writable and kept on a node", s.Root))
	default:
		_, err := nodeconfig.StorageConf(s.StorageConf, s.Stores())
		errs = append(errs, err)
	}
	for _, pin := range s.Pins {
		errs = append(errs, checkPin(pin))
	}
	return errors.Join(errs...)
}

// Files returns the files, sorted as they are to be read.
func (s Settings) Files() ([]File, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	var files []File
	add := func(name string, content []byte) {
		files = append(files, File{Path: name, Mode: fileMode, Content: content})
	}
	if s.StorageConf != nil {
		conf, err := nodeconfig.StorageConf(s.StorageConf, s.Stores())
		if err != nil {
			return nil, err
		}
		add(StorageConfFile, conf)
	}
	add(TmpfilesFile, s.tmpfiles())
	files = append(files, s.Registries...)
	if len(s.Pins) > 0 {
		conf, err := pinsConf(s.Pins)
		if err != nil {
			return nil, err
		}
		add(PinsFile, conf)
	}
	if s.Artifacts {
		conf, err := artifactsConf(s.Stores())
		if err != nil {
			return nil, err
		}
		add(ArtifactsFile, conf)
	}
	if s.Nameserver.IsValid() {
		add(NameserverFile, nameserverConf(s.Nameserver))
	}
	if len(s.Unreached) > 0 {
		add(HostsFile, hostsLines(s.Unreached))
		add(HostsScript, hostsScript)
	}
	if s.Key != nil {
		add(KeyFile, s.Key)
		add(InstallFile, InstallScript())
	}
	return files, nil
}
