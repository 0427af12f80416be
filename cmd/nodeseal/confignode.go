package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/carried"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/manifest"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// configNodeOptions say what a node gets.
type configNodeOptions struct {
	sources       configRegistriesOptions
	root          string
	version       string
	from          string
	pins          []string
	noPins        bool
	nameserver    string
	noRegistries  bool
	key           trust.File
	runtimeConfig bool
	artifacts     bool
}

func addArtifactsFlag(flags *pflag.FlagSet, artifacts *bool, note string) {
	flags.BoolVar(artifacts, "artifacts", false, "have CRI-O look for OCI artifacts in the slots"+note)
}

func addRootFlag(flags *pflag.FlagSet, root *string) {
	flags.StringVar(root, "root", slot.DefaultRoot, "`DIR` with the slots a and b on the nodes")
}

func addVersionFlag(flags *pflag.FlagSet, version *string) {
	flags.StringVar(version, "ocp-version", "", "the cluster's `VERSION` with its patch level, as in 4.20.4; what 4.19 does depends on it")
}

// addUnitFlags adds what concerns any machine, with OpenShift or without.
func (o *configNodeOptions) addUnitFlags(flags *pflag.FlagSet) {
	addRootFlag(flags, &o.root)
	flags.StringArrayVar(&o.pins, "pin", nil,
		"`PATTERN` of what kubelet never removes: the start of references with a star, as in quay.io/openshift-release-dev/*; may be repeated (default from --bundle)")
	flags.BoolVar(&o.noPins, "no-pins", false, "leave pins out, for a PinnedImageSet of all images in their place")
	flags.StringVar(&o.nameserver, "nameserver", "", "for machines without DNS: the `ADDRESS` that NetworkManager gets as the only nameserver")
	flags.BoolVar(&o.noRegistries, "no-registries", false,
		"answer in /etc/hosts for the registries of --bundle, on nodes that never reach them: no pull waits for DNS")
	flags.Var(&o.key, "key", "public key `FILE` (PEM) that bundles on sticks must be signed with")
	flags.StringVar(&o.sources.bundle, "bundle", "", "the `BUNDLE` whose repositories are pinned and are asked of nodeseal serve")
	flags.StringVar(&o.sources.address, "listen", nodeconfig.DefaultRegistry, "`ADDRESS` of nodeseal serve")
}

// addClusterFlags adds what concerns a cluster.
func (o *configNodeOptions) addClusterFlags(flags *pflag.FlagSet) {
	addVersionFlag(flags, &o.version)
	flags.StringVar(&o.from, "from", "", "the storage.conf `FILE` of a node of the pool to start from; - is standard input (default the one of --ocp-version)")
	flags.StringArrayVar(&o.sources.mirrors, "mirrors", nil,
		"`FILE` with ImageDigestMirrorSets, ImageTagMirrorSets, ImageContentSourcePolicies; - is standard input; may be repeated")
	flags.BoolVar(&o.sources.cluster, "cluster", false, "read those objects from the cluster")
	flags.StringVar(&o.sources.kubeconfig, "kubeconfig", "", "kubeconfig `FILE` for --cluster (default that of oc and kubectl)")
	flags.StringVar(&o.sources.context, "context", "", "context `NAME` of the kubeconfig (default its current one)")
	flags.BoolVar(&o.runtimeConfig, "container-runtime-config", false,
		"leave storage.conf to a ContainerRuntimeConfig (4.23 and later)")
	addArtifactsFlag(flags, &o.artifacts, " (4.22 and later; default if --bundle has some)")
}

// made says what configuration is made from, besides a bundle.
func (o *configNodeOptions) made() (from []string) {
	if o.from != "" {
		from = append(from, "storage.conf "+o.from)
	}
	for _, path := range o.sources.mirrors {
		from = append(from, "mirrors "+path)
	}
	if o.sources.cluster {
		from = append(from, "the mirrors of the cluster")
	}
	return from
}

// refused makes wrong usage of what the libraries refuse.
func refused(err error) error {
	if errors.Is(err, machine.ErrSettings) {
		return usageError{err}
	}
	return err
}

func parseVersion(s string) (manifest.Version, error) {
	if s == "" {
		return manifest.Version{}, usageError{errors.New("--ocp-version is missing: what nodes take differs between versions")}
	}
	v, err := manifest.ParseVersion(s)
	return v, refused(err)
}

// baseSettings are the settings of a node's slots.
func baseSettings(root string) machine.Settings {
	s := machine.Settings{Root: root}
	for _, name := range slot.Names() {
		s.Slots = append(s.Slots, string(name))
	}
	return s
}

// unitSettings returns all but storage.conf and the registries' drop-ins.
func (o *configNodeOptions) unitSettings(ctx context.Context, a *app) (s machine.Settings, repositories []string, err error) {
	s = baseSettings(o.root)
	s.Address = o.sources.address
	if o.noPins && len(o.pins) > 0 {
		return s, nil, usageError{errors.New("--pin and --no-pins cannot both be given")}
	}
	if o.nameserver != "" {
		if s.Nameserver, err = netip.ParseAddr(o.nameserver); err != nil {
			return s, nil, usageError{fmt.Errorf("--nameserver %q: want an address", o.nameserver)}
		}
	}
	if o.key != "" {
		if s.Key, err = readPublicKey(a, string(o.key)); err != nil {
			return s, nil, err
		}
	}
	if o.sources.bundle != "" {
		if repositories, err = bundleRepositories(ctx, o.sources.bundle); err != nil {
			return s, nil, err
		}
	}
	if o.noRegistries {
		if s.Unreached = machine.RegistryHosts(repositories); len(s.Unreached) == 0 {
			return s, nil, usageError{errors.New("--no-registries: no --bundle names a registry whose host would be looked up")}
		}
	}
	switch {
	case o.noPins:
	case len(o.pins) > 0:
		s.Pins = o.pins
	case len(repositories) > 0:
		s.Pins = machine.Pins(repositories)
	default:
		s.Pins = []string{"quay.io/openshift-release-dev/*"}
	}
	return s, repositories, nil
}

// settings returns what the nodes of a cluster get.
func (o *configNodeOptions) settings(ctx context.Context, a *app) (machine.Settings, manifest.Version, error) {
	v, err := parseVersion(o.version)
	if err != nil {
		return machine.Settings{}, v, err
	}
	s, repositories, err := o.unitSettings(ctx, a)
	if err != nil {
		return s, v, err
	}
	if v.NeedsPatch() {
		a.progress().Say(fmt.Sprintf("--ocp-version %s without its patch level counts as before %s, the first with PinnedImageSet by default", v, ocp.FirstPinned()))
	}
	if s.StorageConf, err = o.storageConf(a, v); err != nil {
		return s, v, err
	}
	if err := o.findArtifacts(ctx, a, v); err != nil {
		return s, v, err
	}
	s.Artifacts = o.artifacts && !o.runtimeConfig
	r := nodeconfig.Registries{Address: o.sources.address, Repositories: repositories}
	if r.Mirrored, err = o.sources.mirrored(ctx, a); err != nil {
		return s, v, err
	}
	if len(r.Repositories)+len(r.Mirrored) == 0 {
		a.progress().Say("without --bundle there are no drop-ins that send pulls to nodeseal serve")
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

// findArtifacts sets o.artifacts if the bundle has OCI artifacts that nodes of v read.
func (o *configNodeOptions) findArtifacts(ctx context.Context, a *app, v manifest.Version) error {
	if o.artifacts && !v.ReadsArtifacts() {
		return usageError{fmt.Errorf("--artifacts: CRI-O of OpenShift %s reads no stores of OCI artifacts (from %s on it does)", v, ocp.FirstArtifacts())}
	}
	if o.artifacts || o.sources.bundle == "" {
		return nil
	}
	has, err := carried.Read(ctx, o.sources.bundle)
	if err != nil {
		return err
	}
	if o.artifacts = has.Artifacts && v.ReadsArtifacts(); has.Artifacts && !o.artifacts {
		a.progress().Warn(fmt.Sprintf("nothing on nodes of OpenShift %s reads the bundle's OCI artifacts: CRI-O mounts artifacts from %s on", v, ocp.FirstArtifacts()))
	}
	return nil
}

// storageConf returns the storage.conf to start from, nil where the
// ContainerRuntimeConfig has it.
func (o *configNodeOptions) storageConf(a *app, v manifest.Version) ([]byte, error) {
	if o.runtimeConfig {
		if o.from != "" {
			return nil, usageError{errors.New("--from and --container-runtime-config cannot both be given: " +
				"the MachineConfig's file would win over what the operator writes")}
		}
		return nil, nil
	}
	var from []byte
	if o.from != "" {
		r, err := a.openInput(o.from)
		if err != nil {
			return nil, err
		}
		if from, err = readAllClose(r, o.from); err != nil {
			return nil, err
		}
	}
	conf, err := manifest.StorageConf(v, from)
	return conf, refused(err)
}

// readPublicKey reads a public key and refuses anything else: a private key
// would end up on every node.
func readPublicKey(a *app, path string) ([]byte, error) {
	r, err := a.openInput(path)
	if err != nil {
		return nil, fmt.Errorf("--key: want a public key: %w", err)
	}
	data, err := readAllClose(r, path)
	if err != nil {
		return nil, err
	}
	if _, err := trust.ParsePublicKeys(path, data); err != nil {
		return nil, usageError{fmt.Errorf("--key: %w", err)}
	}
	return data, nil
}
