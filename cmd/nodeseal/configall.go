package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/manifest"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/site"
	"github.com/nodeseal/nodeseal/internal/result"
)

type configAllOptions struct {
	site.Cluster
	cluster clusterOptions
}

func (o *configAllOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.Pools, "pool", nil, poolUsage+"; may be repeated")
	flags.BoolVar(&o.PinnedImageSet, "pinned-image-set", false, "write a PinnedImageSet of all images of --bundle, and leave pins to it unless --pin is given")
	addUnitFlags(flags, &o.Site)
	addClusterFlags(flags, &o.Site, &o.cluster)
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
			files, err := o.Files(cmd.Context(), a.siteInputs(&o.cluster))
			if err != nil {
				return refused(err)
			}
			if err := manifest.CheckDir(output); err != nil {
				return preconditionError{err}
			}
			if err := files.Write(output); err != nil {
				return err
			}
			out := result.Written{Dir: output}
			for _, name := range files.Names() {
				if strings.HasPrefix(name, manifest.ReviewDir+"/") {
					out.Review = append(out.Review, name)
				} else {
					out.Files = append(out.Files, name)
				}
			}
			if out.Left, err = files.Left(output); err != nil {
				return err
			}
			return a.show(out)
		},
	}
	o.addFlags(cmd.Flags())
	addInstallerFlags(cmd, &o.Installer)
	cmd.Flags().StringVarP(&output, "output", "o", "", "`DIR` to write to")
	must(cmd.MarkFlagDirname("output"))
	return cmd
}
