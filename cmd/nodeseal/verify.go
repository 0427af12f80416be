package main

import (
	"context"
	"errors"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/trust"
	"github.com/nodeseal/nodeseal/internal/whatis"
)

const phaseVerify = "verify"

// verifyOptions are the flags of verify; those of an import are for a repair.
type verifyOptions struct {
	installOptions
	images  []string
	repair  string
	install verifyInstallOptions
}

func newVerifyCommand(a *app) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify BUNDLE|STORE",
		Short: "Rehash everything and name what is damaged; with --images, what is missing",
		Long: `Rehash everything in a bundle and name what is damaged: the blob, the images that
it hurts and, where the bundle was split, the part. With --images, also name the
references of the list that the bundle does not hold, with --key refuse a bundle
that this key did not sign. Exits with 4 when anything is damaged or missing.

With --install, also name what an installation of that release would ask a registry
for and not find in the bundle, with the programs that ask for it (docs/install.md).

A bundle of bundle --since proves alone that every layer it holds is whole, and
which layers each image has; for the others --base names stores and bundles that
have them, where all of them are rehashed too.

In a store, which is a directory, every layer's tar is made again from its files
and compared with the diff ID, and every other file with what the manifests and
configurations say. A store that is an image is proven by one hash: its digest is
compared with the one recorded beside it when it was made of verified layers, and
its records with what the manifests and configurations say; where the digest is
another one, the layers are read to name what is damaged. With --repair BUNDLE a damaged store is made again from what
of it is whole and the bundle, with the images that it had, exchanged in one step, and sealed again.`,
		Args: exactArgs("the bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.install.parse(args[0]); err != nil {
				return err
			}
			if err := whatis.NoStore(args[0]); form.IsDir(args[0]) && err != nil {
				return err
			}
			if !form.IsDir(args[0]) && !install.IsImage(args[0]) {
				if o.repair != "" {
					return usageError{errors.New("verify: --repair is for a store, not for a bundle")}
				}
				return runVerify(cmd.Context(), a, args[0], &o)
			}
			if err := o.key.unused("verify", "a store; or comes with --repair"); !asks(args[0]) && o.repair == "" && err != nil {
				return err
			}
			if len(o.base.paths) > 0 && o.repair == "" {
				return usageError{errors.New("verify: --base is for a bundle, not for a store; or comes with --repair")}
			}
			return runVerifyStore(cmd.Context(), a, args[0], &o)
		},
	}
	cmd.Flags().StringArrayVar(&o.images, "images", nil, "`LIST` of references that the bundle must hold; may be repeated")
	o.install.addFlags(cmd)
	o.key.addFlags(cmd.Flags())
	o.base.addFlags(cmd, "none; with --repair what is whole of the store, the slots, and the bundles beside BUNDLE")
	cmd.Flags().StringVar(&o.repair, "repair", "", "the `BUNDLE` to repair a damaged store from")
	o.dryRun = dryRunFlag(cmd)
	must(cmd.MarkFlagFilename("repair", "tar.zst", "zst"))
	return cmd
}

func runVerify(ctx context.Context, a *app, path string, o *verifyOptions) error {
	keys, err := o.key.read(ctx, "")
	if err != nil {
		return err
	}
	f, size, err := archive.OpenBytes(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var wanted *imagelist.List
	if len(o.images) > 0 {
		if wanted, err = readLists(a, o.images); err != nil {
			return err
		}
	}
	checkInstall, err := o.install.read(ctx, path, keys)
	if err != nil {
		return err
	}
	report := a.progress()
	report.Begin(phaseVerify, size, progress.Bytes)
	rep, err := archive.Verify(ctx, f, size, archive.VerifyOptions{
		Jobs:  runtime.GOMAXPROCS(0),
		Trust: trust.Signed(path, keys),
		Read:  func(n int64) { report.Add(phaseVerify, n) },
	})
	if is := whatis.NoBundle(path); errors.Is(err, bundle.ErrDamaged) && is != nil {
		return is
	}
	var parts []*split.Error
	if errors.Is(err, bundle.ErrDamaged) || (err == nil && len(rep.Damage) > 0) {
		var partsErr error
		if parts, partsErr = split.Damaged(ctx, path); partsErr != nil {
			return errors.Join(err, partsErr)
		}
	}
	if err != nil {
		for _, part := range parts {
			err = errors.Join(err, part)
		}
		return err
	}
	report.End(phaseVerify)
	out := result.NewBundle(path, rep)
	out.Signed = keys != nil
	for _, part := range parts {
		out.Parts = append(out.Parts, result.Part{Part: part.Part, Error: part.Err.Error()})
	}
	if out.Base, err = verifyBase(ctx, a, path, rep, &o.base); err != nil {
		return err
	}
	out.OK = out.OK && (out.Base == nil || out.Base.Right())
	if wanted != nil {
		out.Missing = install.Missing(rep.Inventory, wanted)
		out.OK = out.OK && len(out.Missing) == 0
	}
	wasOK := out.OK
	inst, instErr := checkInstall(rep)
	out.AddInstall(inst)
	if err := a.show(out); err != nil {
		return err
	}
	switch {
	case !wasOK:
		return errFound
	case instErr != nil:
		return instErr
	case !out.OK:
		return errFound
	}
	return nil
}
