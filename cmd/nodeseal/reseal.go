package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/result"
)

type resealOptions struct {
	installOptions
	restart bool
}

func (o *resealOptions) addFlags(cmd *cobra.Command) {
	o.installOptions.addFlags(cmd, defaultBases)
	o.form.addSlotFlags(cmd)
	cmd.Flags().BoolVar(&o.restart, "restart-crio", false, "restart CRI-O afterwards, which restarts kubelet too (not needed: CRI-O sees the new images by itself)")
}

func newResealCommand(a *app) *cobra.Command {
	var o resealOptions
	cmd := &cobra.Command{
		Use:   "reseal BUNDLE",
		Short: "Bring the next release into the free slot, beside the one that runs",
		Long: `Bring the next release into the free slot, beside the one that runs: before a
cluster upgrade, because images of the operating system and of operators change
while it goes on. Layers that the other slot has are taken from there (hard links
where the file system can, else reflinks or copies) and verified; the rest is
extracted from the bundle. The store is checked and sealed, and CRI-O sees the
new images without a restart. Containers of the old release run on.

The store has the form of the slots, or that of --format. An image shares blocks
with the other slot's image where the file system can (XFS, btrfs), and is the one
that a whole import makes, to the byte.

A bundle of bundle --since is enough where the other slot holds its base: it has
only the layers that are new.`,
		Example: `  nodeseal reseal /run/media/stick/release-4.17.9.tar.zst
  nodeseal retire --when-safe          after the upgrade`,
		Args: exactArgs("the bundle"),
		RunE: func(cmd *cobra.Command, args []string) error { return runReseal(cmd.Context(), a, args[0], &o) },
	}
	o.addFlags(cmd)
	return cmd
}

func runReseal(ctx context.Context, a *app, path string, o *resealOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.restart && o.slots.sysroot != "" {
		return usageError{fmt.Errorf("--restart-crio is about this machine, --sysroot about another one")}
	}
	if install.IsImage(path) {
		return usageError{fmt.Errorf("reseal %s: reseal takes a bundle; nodeseal import %s copies an image into the free slot", path, path)}
	}
	to, src, err := o.intoSlot(ctx, a, path)
	if err != nil {
		return err
	}
	defer src.Close()
	opts := o.options(a)
	opts.FromOtherSlot = true
	if *o.dryRun {
		return a.showWould(install.Plan(ctx, src, to, opts))
	}
	res, err := install.Run(ctx, src, to, opts)
	if err != nil {
		return fmt.Errorf("resealing with %w", err)
	}
	out, err := result.NewReseal(result.NewImport(res, o.slots.sysroot != "").Step(o.slots.configured), to.Root)
	if err != nil {
		return err
	}
	if o.restart {
		if err := restartCRIO(ctx); err != nil {
			return err
		}
		out.Restarted = []string{"crio", "kubelet"}
	}
	return a.show(out)
}

// restartCRIO restarts CRI-O by systemd. kubelet requires it.
func restartCRIO(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "systemctl", "restart", "crio.service").CombinedOutput()
	if err != nil {
		return fmt.Errorf("the slot is filled and sealed, but restarting CRI-O: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
