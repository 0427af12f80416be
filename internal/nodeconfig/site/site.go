// Package site reads what the configuration of a site's nodes is made of (what people ask
// for, a bundle, stores, mirrors, a storage.conf, a key) and names the files that are made of
// it. How a file reads is the business of the packages beside it, which are pure.
//
// What was asked for and makes no sense is refused with an error that is machine.ErrSettings.
package site

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/carried"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/manifest"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// Walker reads a cluster; *cluster.Client is one.
type Walker interface {
	Walk(ctx context.Context, each func(kubeobject.Object)) ([]objects.Problem, error)
}

// Inputs are how what a Site names is reached.
type Inputs struct {
	// Open opens a file by the name that people gave it.
	Open func(name string) (io.ReadCloser, error)
	// Cluster connects to the cluster whose mirrors are read; nil reads none.
	Cluster func() (Walker, error)
	// Mark says when, with what and from what a page was made. Only Cluster.Files needs it.
	Mark func(from ...string) madeby.Mark
	// Progress gets notes and warnings.
	Progress progress.Func
}

// Site is what people ask for.
type Site struct {
	Sources
	// Root is the directory with the slots on the nodes.
	Root string
	// Version is the cluster's, as it is written; "" for machines without one.
	Version string
	// From is the storage.conf to start from; "" is the one of Version.
	From string
	// Pins are patterns of what kubelet never removes; nil takes them from the bundle, and
	// NoPins leaves them out.
	Pins   []string
	NoPins bool
	// Nameserver is the address of the only nameserver, "" leaves the node's.
	Nameserver string
	// NoRegistries has /etc/hosts answer for the registries of the bundle.
	NoRegistries bool
	// Key is the file of the public keys of bundles on sticks.
	Key trust.File
	// RuntimeConfig leaves storage.conf to a ContainerRuntimeConfig.
	RuntimeConfig bool
	// Artifacts has CRI-O look for OCI artifacts; Settings sets it if the bundle has some.
	Artifacts bool
}

// refusal is an error about what was asked for, in its own words.
type refusal struct{ error }

// Is makes it machine.ErrSettings.
func (refusal) Is(target error) bool { return target == machine.ErrSettings }

// Unwrap returns the cause.
func (r refusal) Unwrap() error { return r.error }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

// ParseVersion reads the version of a cluster, which must be given.
func ParseVersion(s string) (manifest.Version, error) {
	if s == "" {
		return manifest.Version{}, refuse("--ocp-version is missing: what nodes take differs between versions")
	}
	return manifest.ParseVersion(s)
}

// Slots are the settings of nodes that have both slots below root, and nothing else.
func Slots(root string) machine.Settings {
	s := machine.Settings{Root: root}
	for _, name := range slot.Names() {
		s.Slots = append(s.Slots, string(name))
	}
	return s
}

// Machine returns the settings of any machine, with OpenShift or without: all but
// storage.conf and the drop-ins of registries.
func (o *Site) Machine(ctx context.Context, in Inputs) (machine.Settings, error) {
	s, _, err := o.machine(ctx, in)
	return s, err
}

// machine is Machine, with the repositories of the bundle.
func (o *Site) machine(ctx context.Context, in Inputs) (s machine.Settings, repositories []string, err error) {
	s = Slots(o.Root)
	s.Address = o.Address
	if o.NoPins && len(o.Pins) > 0 {
		return s, nil, refuse("--pin and --no-pins cannot both be given")
	}
	if o.Nameserver != "" {
		if s.Nameserver, err = netip.ParseAddr(o.Nameserver); err != nil {
			return s, nil, refuse("--nameserver %q: want an address", o.Nameserver)
		}
	}
	if o.Key != "" {
		if s.Key, err = o.publicKey(ctx, in, string(o.Key)); err != nil {
			return s, nil, err
		}
	}
	if o.Bundle != "" {
		if repositories, err = o.bundleRepositories(ctx); err != nil {
			return s, nil, err
		}
	}
	if o.NoRegistries {
		if s.Unreached = machine.RegistryHosts(repositories); len(s.Unreached) == 0 {
			return s, nil, refuse("--no-registries: no --bundle names a registry whose host would be looked up")
		}
	}
	switch {
	case o.NoPins:
	case len(o.Pins) > 0:
		s.Pins = o.Pins
	case len(repositories) > 0:
		s.Pins = machine.Pins(repositories)
	default:
		s.Pins = []string{"quay.io/openshift-release-dev/*"}
	}
	return s, repositories, nil
}

// Settings returns what the nodes of a cluster get, and the cluster's version.
func (o *Site) Settings(ctx context.Context, in Inputs) (machine.Settings, manifest.Version, error) {
	v, err := ParseVersion(o.Version)
	if err != nil {
		return machine.Settings{}, v, err
	}
	s, repositories, err := o.machine(ctx, in)
	if err != nil {
		return s, v, err
	}
	if v.NeedsPatch() {
		in.Progress.Say(fmt.Sprintf("--ocp-version %s without its patch level counts as before %s, the first with PinnedImageSet by default", v, ocp.FirstPinned()))
	}
	if s.StorageConf, err = o.storageConf(in, v); err != nil {
		return s, v, err
	}
	if err := o.findArtifacts(ctx, in, v); err != nil {
		return s, v, err
	}
	s.Artifacts = o.Artifacts && !o.RuntimeConfig
	r := nodeconfig.Registries{Address: o.Address, Repositories: repositories}
	if r.Mirrored, err = o.mirrored(ctx, in); err != nil {
		return s, v, err
	}
	if len(r.Repositories)+len(r.Mirrored) == 0 {
		in.Progress.Say("without --bundle there are no drop-ins that send pulls to nodeseal serve")
		return s, v, nil
	}
	conf, err := r.Conf()
	if err != nil {
		return s, v, err
	}
	s.Registries = []machine.File{
		{Path: nodeconfig.RegistriesConfFile, Mode: 0o644, Content: conf},
		{Path: nodeconfig.AttachmentsFile, Mode: 0o644, Content: r.Attachments()},
	}
	return s, v, nil
}

// findArtifacts sets o.Artifacts if the bundle has OCI artifacts that nodes of v read.
func (o *Site) findArtifacts(ctx context.Context, in Inputs, v manifest.Version) error {
	if o.Artifacts && !v.ReadsArtifacts() {
		return refuse("--artifacts: CRI-O of OpenShift %s reads no stores of OCI artifacts (from %s on it does)", v, ocp.FirstArtifacts())
	}
	if o.Artifacts || o.Bundle == "" {
		return nil
	}
	has, err := carried.Read(ctx, o.Bundle, o.Trust)
	if err != nil {
		return err
	}
	if o.Artifacts = has.Artifacts && v.ReadsArtifacts(); has.Artifacts && !o.Artifacts {
		in.Progress.Warn(fmt.Sprintf("nothing on nodes of OpenShift %s reads the bundle's OCI artifacts: CRI-O mounts artifacts from %s on", v, ocp.FirstArtifacts()))
	}
	return nil
}

// storageConf returns the storage.conf to start from, nil where the
// ContainerRuntimeConfig has it.
func (o *Site) storageConf(in Inputs, v manifest.Version) ([]byte, error) {
	if o.RuntimeConfig {
		if o.From != "" {
			return nil, refuse("--from and --container-runtime-config cannot both be given: " +
				"the MachineConfig's file would win over what the operator writes")
		}
		return nil, nil
	}
	var from []byte
	if o.From != "" {
		var err error
		if from, err = in.read(o.From); err != nil {
			return nil, err
		}
	}
	return manifest.StorageConf(v, from)
}

// made says what configuration is made from, besides a bundle.
func (o *Site) made(in Inputs) (from []string) {
	if o.From != "" {
		from = append(from, "storage.conf "+o.From)
	}
	for _, path := range o.Mirrors {
		from = append(from, "mirrors "+path)
	}
	if in.Cluster != nil {
		from = append(from, "the mirrors of the cluster")
	}
	return from
}

// maxFile bounds a configuration file that is read, in bytes.
const maxFile = 16 << 20

// read returns the content of a file.
func (in Inputs) read(name string) ([]byte, error) {
	r, err := in.Open(name)
	if err != nil {
		return nil, err
	}
	return readAll(r, name)
}

// readAll reads r to its end and closes it. name is for the error.
func readAll(r io.ReadCloser, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("longer than %d bytes", maxFile)
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, nil
}

// publicKey reads a public key and refuses anything else: a private key would end up on
// every node.
func (o *Sources) publicKey(ctx context.Context, in Inputs, path string) (data []byte, err error) {
	if path == "-" {
		data, err = in.read(path)
	} else {
		data, err = o.Trust.Once.ReadFile(ctx, path)
	}
	if err != nil {
		return nil, fmt.Errorf("--key: want a public key: %w", err)
	}
	if _, err := trust.ParsePublicKeys(path, data); err != nil {
		return nil, refuse("--key: %w", err)
	}
	return data, nil
}
