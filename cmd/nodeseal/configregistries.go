package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
)

type configRegistriesOptions struct {
	stores     []string
	bundle     string
	mirrors    []string
	cluster    bool
	kubeconfig string
	context    string
	address    string
	output     string
}

func (o *configRegistriesOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.stores, "store", nil, "`DIR` of a store; may be repeated (default both slots of "+slot.DefaultRoot+")")
	flags.StringVar(&o.bundle, "bundle", "", "take the repositories from this `BUNDLE`, not from stores")
	flags.StringArrayVar(&o.mirrors, "mirrors", nil,
		"`FILE` with ImageDigestMirrorSets, ImageTagMirrorSets, ImageContentSourcePolicies; - is standard input; may be repeated")
	flags.BoolVar(&o.cluster, "cluster", false, "read those objects from the cluster")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig `FILE` for --cluster (default that of oc and kubectl)")
	flags.StringVar(&o.context, "context", "", "context `NAME` of the kubeconfig (default its current one)")
	flags.StringVar(&o.address, "listen", nodeconfig.DefaultRegistry, "`ADDRESS` of nodeseal serve")
	flags.StringVarP(&o.output, "output", "o", "", "write the files below this `DIR`, as below the node's /")
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
	if o.bundle != "" && len(o.stores) > 0 {
		return usageError{errors.New("config registries: --bundle and --store cannot both be given")}
	}
	if _, err := reference.ParseNamed(o.address + "/name"); err != nil {
		return usageError{fmt.Errorf("--listen %q: not a host and port that a reference can have", o.address)}
	}
	sources := serveOptions{stores: o.stores}
	dirs, err := sources.dirs()
	if err != nil {
		return err
	}
	r := nodeconfig.Registries{Address: o.address}
	if o.bundle != "" {
		r.Repositories, err = bundleRepositories(ctx, o.bundle)
	} else {
		r.Repositories, err = storeRepositories(dirs)
	}
	if err != nil {
		return err
	}
	if r.Mirrored, err = o.mirrored(ctx, a); err != nil {
		return err
	}
	conf, err := r.Conf()
	if err != nil {
		return err
	}
	text, err := nodeconfig.ServeUnit{Stores: dirs, Address: o.address}.Text()
	if err != nil {
		return err
	}
	files := configFiles{Files: []configFile{
		{Name: nodeconfig.RegistriesConfFile, Content: string(conf)},
		{Name: nodeconfig.AttachmentsFile, Content: string(r.Attachments())},
		{Name: "/etc/systemd/system/" + nodeconfig.ServeUnitName, Content: string(text)},
	}}
	if o.output != "" {
		if err := files.write(o.output); err != nil {
			return err
		}
	}
	return a.show(files)
}

// bundleRepositories returns the repositories of a bundle's references.
func bundleRepositories(ctx context.Context, path string) ([]string, error) {
	f, err := archive.OpenFile(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	var names []string
	for _, img := range f.Inventory().Images {
		names = append(append(names, img.Ref), img.Names...)
	}
	return repositories(names)
}

// storeRepositories returns the repositories of the stores' references.
func storeRepositories(dirs []string) ([]string, error) {
	var names []string
	for _, dir := range dirs {
		s, err := store.Open(store.Files(dir))
		if err != nil {
			return nil, fmt.Errorf("store %s: %w", dir, err)
		}
		for _, ref := range s.References {
			names = append(names, ref.Name)
		}
	}
	return repositories(names)
}

func repositories(names []string) ([]string, error) {
	out := make([]string, len(names))
	for i, name := range names {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return nil, fmt.Errorf("reference %q: %w", name, err)
		}
		out[i] = named.Name()
	}
	return out, nil
}
