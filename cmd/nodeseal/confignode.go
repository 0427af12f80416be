package main

import (
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/site"
	"github.com/nodeseal/nodeseal/internal/slot"
)

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
func addUnitFlags(flags *pflag.FlagSet, o *site.Site) {
	addRootFlag(flags, &o.Root)
	flags.StringArrayVar(&o.Pins, "pin", nil,
		"`PATTERN` of what kubelet never removes: the start of references with a star, as in quay.io/openshift-release-dev/*; may be repeated (default from --bundle)")
	flags.BoolVar(&o.NoPins, "no-pins", false, "leave pins out, for a PinnedImageSet of all images in their place")
	flags.StringVar(&o.Nameserver, "nameserver", "", "for machines without DNS: the `ADDRESS` that NetworkManager gets as the only nameserver")
	flags.BoolVar(&o.NoRegistries, "no-registries", false,
		"answer in /etc/hosts for the registries of --bundle, on nodes that never reach them: no pull waits for DNS")
	flags.Var(&o.Key, "key", "public key `FILE` (PEM) that bundles on sticks must be signed with")
	flags.StringVar(&o.Bundle, "bundle", "", "the `BUNDLE` whose repositories are pinned and are asked of nodeseal serve")
	insecureFlag(flags, &o.Trust)
	flags.StringVar(&o.Address, "listen", nodeconfig.DefaultRegistry, "`ADDRESS` of nodeseal serve")
}

// addClusterFlags adds what concerns a cluster.
func addClusterFlags(flags *pflag.FlagSet, o *site.Site, cluster *clusterOptions) {
	addVersionFlag(flags, &o.Version)
	flags.StringVar(&o.From, "from", "", "the storage.conf `FILE` of a node of the pool to start from; - is standard input (default the one of --ocp-version)")
	addMirrorFlags(flags, &o.Sources, cluster)
	flags.BoolVar(&o.RuntimeConfig, "container-runtime-config", false,
		"leave storage.conf to a ContainerRuntimeConfig (4.23 and later)")
	addArtifactsFlag(flags, &o.Artifacts, " (4.22 and later; default if --bundle has some)")
}
