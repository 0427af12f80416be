package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/seal"
)

func newSealCommand(a *app) *cobra.Command {
	var o seal.Options
	cmd := &cobra.Command{
		Use:   "seal STORE",
		Short: "Make a store immutable",
		Long: `Set the immutable attribute on everything that describes the store, and mount
the store read-only over itself. Containers can go on changing what came with
their image. It may be run again at any time. Needs root, and a file system with
immutable attributes (ext4, XFS, btrfs).`,
		Args: exactArgs("the store"),
		RunE: func(cmd *cobra.Command, args []string) error {
			rep, err := seal.Seal(cmd.Context(), args[0], o)
			if err != nil {
				return err //nolint:wrapcheck // names the store
			}
			return a.show(sealResult{rep})
		},
	}
	cmd.Flags().BoolVar(&o.NoMount, "no-mount", false, "leave out the read-only mount")
	return cmd
}

func newUnsealCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "unseal STORE",
		Short: "Take the seal off a store, so that it can be changed or removed",
		Args:  exactArgs("the store"),
		RunE:  func(cmd *cobra.Command, args []string) error { return runUnseal(cmd.Context(), a, args[0]) },
	}
}

func runUnseal(ctx context.Context, a *app, dir string) error {
	rep, err := seal.Unseal(ctx, dir)
	if err != nil {
		return err //nolint:wrapcheck // names the store
	}
	return a.show(sealResult{rep})
}

// sealResult is what seal and unseal print.
type sealResult struct{ seal.Report }

func (r sealResult) writeText(w io.Writer) error {
	p := &printer{w: w}
	state := "not sealed"
	switch {
	case r.Sealed():
		state = "sealed"
	case r.FlagsSet():
		state = "immutable, not mounted read-only"
	case r.Immutable > 0 || r.Mounted:
		state = "sealed in part"
	}
	p.line("%s: %s (%d of %d immutable, %s)", r.Dir, state, r.Immutable, r.Targets, r.FSType)
	for _, n := range r.Notes {
		p.line("  %s", n)
	}
	return p.err
}
