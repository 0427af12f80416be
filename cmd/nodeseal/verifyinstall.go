package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/installneeds"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
	"github.com/nodeseal/nodeseal/internal/result"
)

// verifyInstallOptions are the flags of verify about an installation.
type verifyInstallOptions struct {
	version, flavor string

	want ocp.Version
	how  installneeds.Flavor
}

func (o *verifyInstallOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.version, "install", "", "name what an installation of this OpenShift `VERSION` (4.18 or 4.18.3) would miss")
	cmd.Flags().StringVar(&o.flavor, "flavor", "", "`HOW` the cluster is installed, with --install: agent, upi or sno (default agent)")
	must(cmd.RegisterFlagCompletionFunc("flavor", oneOf(installneeds.Flavors()...)))
}

// parse reads the flags; path is what is verified.
func (o *verifyInstallOptions) parse(path string) (err error) {
	switch {
	case o.version == "" && o.flavor != "":
		return usageError{errors.New("verify: --flavor is of no use without --install")}
	case o.version == "":
		return nil
	case o.flavor == "":
		o.flavor = string(installneeds.Agent)
	}
	if o.how, err = installneeds.ParseFlavor(o.flavor); err != nil {
		return usageError{fmt.Errorf("--flavor: %w", err)}
	}
	if form.IsDir(path) || install.IsImage(path) {
		return usageError{errors.New("verify: --install is for a bundle, not for a store")}
	}
	var ok bool
	if o.want, ok = ocp.Read(o.version); !ok {
		return usageError{fmt.Errorf("--install %q: want a version of OpenShift, as 4.18 or 4.18.3", o.version)}
	}
	return nil
}

// check tells what the bundle at path, which was verified, lacks; nil without --install.
func (o *verifyInstallOptions) check(ctx context.Context, path string, rep *archive.Report) (*result.Install, error) {
	if o.version == "" || len(rep.Damage) > 0 {
		return nil, nil
	}
	f, err := archive.OpenFile(ctx, path, archive.WithTrust(rep.Same))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	p, err := installneeds.Read(ctx, f, o.want)
	if err != nil {
		return nil, err
	}
	return &result.Install{Release: p.Version, Image: p.Image, Flavor: o.flavor, Report: installneeds.Check(f.Inventory(), p, o.how)}, nil
}
