package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/site"
	"github.com/nodeseal/nodeseal/internal/slot"
)

type configRegistriesOptions struct {
	site.Sources
	cluster clusterOptions
	stores  []string
	output  string
}

func (o *configRegistriesOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.stores, "store", nil, "`DIR` of a store; may be repeated (default both slots of "+slot.DefaultRoot+")")
	flags.StringVar(&o.Bundle, "bundle", "", "take the repositories from this `BUNDLE`, not from stores")
	insecureFlag(flags, &o.Trust)
	addMirrorFlags(flags, &o.Sources, &o.cluster)
	flags.StringVar(&o.Address, "listen", nodeconfig.DefaultRegistry, "`ADDRESS` of nodeseal serve")
	flags.StringVarP(&o.output, "output", "o", "", "write the files below this `DIR`, as below the node's /")
}

// addMirrorFlags adds what says which mirrors nodes have.
func addMirrorFlags(flags *pflag.FlagSet, o *site.Sources, cluster *clusterOptions) {
	flags.StringArrayVar(&o.Mirrors, "mirrors", nil,
		"`FILE` with ImageDigestMirrorSets, ImageTagMirrorSets, ImageContentSourcePolicies; - is standard input; may be repeated")
	flags.BoolVar(&cluster.use, "cluster", false, "read those objects from the cluster")
	flags.StringVar(&cluster.kubeconfig, "kubeconfig", "", "kubeconfig `FILE` for --cluster (default that of oc and kubectl)")
	flags.StringVar(&cluster.context, "context", "", "context `NAME` of the kubeconfig (default its current one)")
}

func newConfigRegistriesCommand(a *app) *cobra.Command {
	var o configRegistriesOptions
	cmd := &cobra.Command{
		Use:   "registries [--store DIR... | --bundle FILE] [--mirrors FILE... | --cluster]",
		Short: "Print the files that send pulls to nodeseal serve",
		Long: `Print the drop-ins for /etc/containers/registries.conf.d and registries.d, and the
unit of nodeseal serve. There is one entry for each repository of the stores and
for each source of a mirror set: an entry with a longer prefix wins, so mirrors
that the node has already would hide a shorter one. nodeseal serve comes first,
the mirrors that were there before come after it.`,
		Example: `  nodeseal config registries --bundle release.tar.zst --cluster
  oc get imagedigestmirrorset,imagetagmirrorset -o yaml | nodeseal config registries --mirrors - -o /`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runConfigRegistries(cmd.Context(), a, &o) },
	}
	o.addFlags(cmd.Flags())
	must(cmd.MarkFlagDirname("store"))
	must(cmd.MarkFlagDirname("output"))
	return cmd
}

func runConfigRegistries(ctx context.Context, a *app, o *configRegistriesOptions) error {
	if o.Bundle != "" && len(o.stores) > 0 {
		return usageError{errors.New("config registries: --bundle and --store cannot both be given")}
	}
	sources := serveOptions{stores: o.stores}
	dirs, err := sources.dirs()
	if err != nil {
		return err
	}
	files, err := o.ServeFiles(ctx, a.siteInputs(&o.cluster), dirs)
	if err != nil {
		return refused(err)
	}
	if o.output != "" {
		if err := files.Write(o.output); err != nil {
			return err
		}
	}
	return a.show(files)
}
