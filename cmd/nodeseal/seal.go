package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/seal"
)

func newSealCommand(a *app) *cobra.Command {
	var o seal.Options
	var dryRun *bool
	cmd := &cobra.Command{
		Use:   "seal STORE",
		Short: "Make a store immutable",
		Long: `Set the immutable attribute on everything that describes the store, and mount
the store read-only over itself. Containers can go on changing what came with
their image. It may be run again at any time. Needs root, and a file system with
immutable attributes (ext4, XFS, btrfs). Where the store is an image, its file is
made immutable and mounted at the store's path.`,
		Args: exactArgs("the store"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if *dryRun {
				return a.showWould(form.PlanSeal(cmd.Context(), args[0], o))
			}
			return runSeal(cmd.Context(), a, args[0], o)
		},
	}
	cmd.Flags().BoolVar(&o.NoMount, "no-mount", false, "leave out the read-only mount")
	dryRun = dryRunFlag(cmd)
	return cmd
}

func newUnsealCommand(a *app) *cobra.Command {
	var dryRun *bool
	cmd := &cobra.Command{
		Use:   "unseal STORE",
		Short: "Take the seal off a store, so that it can be changed or removed",
		Args:  exactArgs("the store"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if *dryRun {
				return a.showWould(form.PlanUnseal(cmd.Context(), args[0]))
			}
			return runUnseal(cmd.Context(), a, args[0])
		},
	}
	dryRun = dryRunFlag(cmd)
	return cmd
}

func runSeal(ctx context.Context, a *app, store string, o seal.Options) error {
	rep, err := form.Seal(ctx, store, o)
	if err != nil {
		return err
	}
	return a.show(result.Seal{Report: rep})
}

func runUnseal(ctx context.Context, a *app, store string) error {
	rep, err := form.Unseal(ctx, store)
	if err != nil {
		return err
	}
	return a.show(result.Seal{Report: rep})
}
