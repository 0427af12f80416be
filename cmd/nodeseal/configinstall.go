package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/installneeds"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/manifest"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/site"
	"github.com/nodeseal/nodeseal/internal/result"
)

func newConfigInstallCommand(a *app) *cobra.Command {
	var o site.Installation
	var flavor, output string
	cmd := &cobra.Command{
		Use:   "install --flavor agent|upi|sno --ocp-version 4.N.Z --bundle BUNDLE --key FILE -o DIR",
		Short: "Write what installs a cluster from a medium, with nothing to pull",
		Long: `Write what openshift-install and the live system of an installation need to take
every image from a medium: manifests for the folder openshift/, the Ignition
configuration that mounts the medium's store in the live system and answers pulls
from it, and a README.md of the steps, with every command.

With --into FILE, the Ignition configuration of the installation (coreos-installer iso
ignition show; bootstrap.ign; bootstrap-in-place-for-live-iso.ign), it is also written
merged with that, and refused if an ISO has no room for it.

A bundle that lacks what the installation asks for is refused: nodeseal verify
--install names it. docs/install.md has the whole way.`,
		Example: `  nodeseal config install --flavor agent --ocp-version 4.20.4 --bundle release.tar.zst --key pub.pem -o day0`,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if output == "" {
				return usageError{errors.New("config install: -o DIR is missing")}
			}
			if o.Flavor, err = installneeds.ParseFlavor(flavor); err != nil {
				return usageError{fmt.Errorf("--flavor: %w", err)}
			}
			return runConfigInstall(cmd.Context(), a, &o, output)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&flavor, "flavor", "", "`HOW` the cluster is installed: agent, upi or sno")
	flags.StringArrayVar(&o.Pools, "pool", nil, poolUsage+"; may be repeated (default master and worker; of sno, master)")
	flags.StringVar(&o.Into, "into", "", "merge with this Ignition `FILE` of the installation; - is standard input")
	addVersionFlag(flags, &o.Version)
	flags.StringVar(&o.From, "from", "", "the storage.conf `FILE` of a node to start from (default the one of --ocp-version)")
	addUnitFlags(flags, &o.Site)
	flags.StringVarP(&output, "output", "o", "", "`DIR` to write to")
	must(cmd.MarkFlagDirname("output"))
	must(cmd.RegisterFlagCompletionFunc("flavor", oneOf(installneeds.Flavors()...)))
	return cmd
}

func runConfigInstall(ctx context.Context, a *app, o *site.Installation, output string) error {
	files, err := o.Files(ctx, a.siteInputs(nil))
	if err != nil {
		return refused(err)
	}
	if err := manifest.CheckPage(output, site.InstallTitle, "config install"); err != nil {
		return preconditionError{err}
	}
	if err := files.Write(output); err != nil {
		return err
	}
	return a.show(result.Written{Dir: output, Files: files.Names()})
}
