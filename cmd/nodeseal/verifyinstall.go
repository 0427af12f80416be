package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/form"
	payload "github.com/nodeseal/nodeseal/internal/imagelist/release"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/installneeds"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/trust"
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

// verifyInstall tells what a bundle lacks, once all of it was read; nil of a damaged one. The error is
// why that cannot be told, and is in the result too.
type verifyInstall func(*archive.Report) (*result.Install, error)

// read reads the release of the bundle at path, which one of keys must have signed. It returns errors
// that need no full verification, such as several matching releases; the returned function reports damage.
func (o *verifyInstallOptions) read(ctx context.Context, path string, keys signature.Keys) (verifyInstall, error) {
	if o.version == "" {
		return func(*archive.Report) (*result.Install, error) { return nil, nil }, nil
	}
	raw, p, err := o.payload(ctx, path, keys)
	if is(err, installneeds.ErrBase, installneeds.ErrSeveral) {
		return nil, err
	}
	return func(rep *archive.Report) (*result.Install, error) {
		if len(rep.Damage) > 0 {
			return nil, nil
		}
		if err == nil {
			err = rep.Same(raw)
		}
		if err != nil {
			return result.InstallError(o.flavor, err), err
		}
		return &result.Install{Release: p.Version, Image: p.Image, Flavor: o.flavor, Report: installneeds.Check(rep.Inventory, p, o.how)}, nil
	}, nil
}

// payload reads the release of the bundle, and the bundle's inventory.
func (o *verifyInstallOptions) payload(ctx context.Context, path string, keys signature.Keys) ([]byte, *payload.Payload, error) {
	f, err := archive.OpenFile(ctx, path, archive.WithTrust(trust.Signed(path, keys)))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	p, err := installneeds.Read(ctx, f, o.want)
	return f.RawInventory(), p, err
}
