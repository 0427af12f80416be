package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/result"
)

type importOptions struct {
	installOptions
	store     string
	noSeal    bool
	noMount   bool
	images    []string
	noDevices bool
}

func (o *importOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.installOptions.addFlags(cmd, defaultBases)
	o.form.addFlags(cmd)
	flags.StringVar(&o.store, "store", "", "make a single store in this `DIR`, which must not exist, and leave the slots alone")
	flags.BoolVar(&o.noSeal, "no-seal", false, "leave the store unsealed")
	flags.BoolVar(&o.noMount, "no-mount", false, "seal without the read-only mount")
	flags.StringArrayVar(&o.images, "images", nil, "import only the references of this `LIST`, in any form that nodeseal bundle reads; - is standard input; may be repeated")
	flags.StringArrayVar(&o.without, "without", nil, "leave the image `REF` out; may be repeated")
	flags.BoolVar(&o.noDevices, "no-devices", false, "refuse layers with device nodes; whiteouts are none")
	must(cmd.MarkFlagDirname("store"))
}

func newImportCommand(a *app) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import BUNDLE|IMAGE",
		Short: "Extract a bundle into a read-only additional image store, checked and sealed",
		Long: `Extract a bundle into an additional image store for CRI-O and podman: into the
node's free slot, or with --store into a directory of your own. Every layer is
verified against its diff ID while it is extracted; the store is put in place
only when the storage library resolves every reference in it, and is sealed.
An interrupted import goes on where it was. Where the slot or DIR holds the
bundle already, nothing is done. With --images, only the images of a list are
imported; one that the bundle lacks is an error (exit code 4). --without leaves an
image out, as one of whose layers this node does not take.

With --format image the store is one file, an EROFS image that is the same on
every node, immutable and mounted read-only: its sha256, which is recorded beside
it, proves all of it. It needs a kernel with EROFS, and an interrupted import
starts over. Slots may differ in form.

An IMAGE that --image-out has made is copied into the free slot as it is, with
FILE.sha256 beside it: it is mounted only after its digest was proven. With --key,
FILE.sig must be the key's signature of FILE.sha256 (--sign-key makes it; cosign's
verify-blob takes it).

A bundle of bundle --since leaves layers to its base. They are taken from the
slots, or from bundles beside it, or from what --base names: whatever has them.
Each is verified like those of the bundle, and the store is the one that the whole
bundle would have made. Where layers are missing they are named, and nothing is
made (exit code 5 where nobody has any of them, else 4).`,
		Example: `  nodeseal import /run/media/stick/release.tar.zst
  nodeseal import release.tar.zst --sysroot /mnt/new-disk
  nodeseal import release.tar.zst --store /srv/images
  nodeseal import release.tar.zst --images worker.lst
  nodeseal import 4.17.9-since-4.17.8.tar.zst --base 4.17.8.tar.zst
  nodeseal import release.tar.zst --format image
  nodeseal import release.tar.zst --store /srv/images --format image
  nodeseal import release.tar.zst --image-out release.erofs
  nodeseal import /run/media/stick/release.erofs`,
		Args: exactArgs("the bundle or the image"),
		RunE: func(cmd *cobra.Command, args []string) error { return runImport(cmd.Context(), a, args[0], &o) },
	}
	o.addFlags(cmd)
	return cmd
}

// check refuses what makes no sense together.
func (o *importOptions) check(path string) error {
	if err := o.installOptions.check(); err != nil {
		return err
	}
	if err := o.form.check(o.store); err != nil {
		return err
	}
	switch image := install.IsImage(path); {
	case o.store != "" && o.slots.sysroot != "":
		return usageError{errors.New("--sysroot is about the slots, --store leaves them alone: name the directory on that disk with --store, or fill a slot")}
	case image && (o.store != "" || o.form.out != ""):
		return usageError{errors.New("an image goes into a slot as it is: no --store, no --image-out")}
	case image && (len(o.images)+len(o.without) > 0 || len(o.base.paths) > 0 || o.noDevices):
		return usageError{errors.New("an image is whole: --images, --without, --base and --no-devices are for bundles")}
	}
	return nil
}

func runImport(ctx context.Context, a *app, path string, o *importOptions) error {
	if err := o.check(path); err != nil {
		return err
	}
	opts := o.options(a)
	opts.NoSeal, opts.NoMount, opts.NoDevices = o.noSeal, o.noMount, o.noDevices
	var err error
	if opts.Sign, err = readSignKey(ctx, "--sign-key", o.form.sign); err != nil {
		return err
	}
	target := install.Target{Dir: o.store, File: o.form.out}
	if target == (install.Target{}) {
		if target.Root, err = o.slots.open(o.noMount); err != nil {
			return err
		}
	}
	src, err := o.open(ctx, a, path, o.images...)
	if err != nil {
		return err
	}
	defer src.Close()
	if *o.dryRun {
		return a.showWould(install.Plan(ctx, src, target, opts))
	}
	res, err := install.Run(ctx, src, target, opts)
	if err != nil {
		return fmt.Errorf("importing %w", err)
	}
	return a.show(result.NewImport(res, o.slots.sysroot != "").Step(o.slots.configured))
}
