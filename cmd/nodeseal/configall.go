package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/carried"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/manifest"
	"github.com/nodeseal/nodeseal/internal/result"
)

type configAllOptions struct {
	node      configNodeOptions
	pools     []string
	pinned    bool
	installer manifest.Installer
}

func (o *configAllOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.pools, "pool", nil, poolUsage+"; may be repeated")
	flags.BoolVar(&o.pinned, "pinned-image-set", false, "write a PinnedImageSet of all images of --bundle, and leave pins to it unless --pin is given")
	o.node.addUnitFlags(flags)
	o.node.addClusterFlags(flags)
}

func newConfigAllCommand(a *app) *cobra.Command {
	var o configAllOptions
	var output string
	cmd := &cobra.Command{
		Use:   "all --pool POOL... --ocp-version 4.N -o DIR",
		Short: "Write everything for a cluster, and a README of the order",
		Long: `Write every object that a cluster needs into a directory, numbered in the order in
which they are applied, and a README.md: pause the pools, apply, unpause, one
reboot of each node. What would break the cluster is refused, with the reason.

The version decides how nodes get the operating system's image. If the bundle has
its layers as a registry has them, nodeseal serve answers for them on every
release. If it does not, 4.19.12 to 4.22 get a PinnedImageSet of that image, which
makes upgrades read the slot; earlier releases cannot upgrade without a registry
then, and a warning says so. From 4.23 on the slot is read in any case.`,
		Example: `  nodeseal config all --pool master --pool worker --ocp-version 4.18 --bundle release.tar.zst --cluster -o config`,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output == "" {
				return usageError{errors.New("config all: -o DIR is missing")}
			}
			files, err := o.files(cmd.Context(), a)
			if err != nil {
				return err
			}
			if err := manifest.CheckDir(output); err != nil {
				return preconditionError{err}
			}
			if err := files.write(output); err != nil {
				return err
			}
			out := result.Written{Dir: output}
			for _, name := range files.names() {
				if strings.HasPrefix(name, manifest.ReviewDir+"/") {
					out.Review = append(out.Review, name)
				} else {
					out.Files = append(out.Files, name)
				}
			}
			if out.Left, err = files.left(output); err != nil {
				return err
			}
			return a.show(out)
		},
	}
	o.addFlags(cmd.Flags())
	addInstallerFlags(cmd, &o.installer)
	cmd.Flags().StringVarP(&output, "output", "o", "", "`DIR` to write to")
	must(cmd.MarkFlagDirname("output"))
	return cmd
}

// files returns everything for the cluster.
func (o *configAllOptions) files(ctx context.Context, a *app) (configFiles, error) {
	var out configFiles
	o.node.noPins = o.node.noPins || o.pinned && len(o.node.pins) == 0
	if o.pinned && o.node.sources.bundle == "" {
		return out, usageError{errors.New("--pinned-image-set takes the images of --bundle, which is missing")}
	}
	s, v, err := o.node.settings(ctx, a)
	if err != nil {
		return out, err
	}
	opts := manifest.Options{
		Pools: o.pools, Version: v, Settings: s, RuntimeConfig: o.node.runtimeConfig, Artifacts: o.node.artifacts, Installer: o.installer,
	}
	from := o.node.made()
	if o.node.sources.bundle != "" {
		has, err := carried.Read(ctx, o.node.sources.bundle)
		if err != nil {
			return out, err
		}
		from = append(from, has.From...)
		opts.OS = manifest.OperatingSystems{PinnedImages: manifest.PinnedImages(has.OS), Originals: has.Originals}
		if o.pinned {
			opts.Pinned = manifest.PinnedImages(has.All)
		} else if opts.OS.NeedsPinned(v) {
			opts.Pinned = opts.OS.PinnedImages
		}
		if lack := opts.OS.Lack(v, len(opts.Pinned.Refs) > 0); lack != "" {
			a.progress().Warn(lack)
		}
		if opts.Signatures, err = carried.BundleSignatures(ctx, o.node.sources.bundle); err != nil {
			return out, err
		}
	}
	opts.Made = a.mark(from...)
	files, err := manifest.All(opts)
	if err != nil {
		return out, refused(err)
	}
	for _, f := range files {
		out.Files = append(out.Files, configFile{Name: f.Name, Content: string(f.Content)})
	}
	return out, nil
}
