package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/slot"
)

func newMountCommand(a *app) *cobra.Command {
	var root string
	var dryRun *bool
	cmd := &cobra.Command{
		Use:   "mount [SLOT...]",
		Short: "Mount slots read-only, as the units do at each start",
		Long: `Make slots that are missing, as empty stores, and mount the given ones (both
where none is given) read-only: a directory over itself, an image over the empty
store in its place. It may be run at any time. A slot whose mount fails is a valid
store all the same: its configured path stays good. An image that is damaged, or
that the kernel cannot mount, leaves the slot empty (exit code 4 or 5).`,
		Args: anySlots,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runMount(cmd.Context(), a, root, args, true, *dryRun)
		},
	}
	dryRun = dryRunFlag(cmd)
	cmd.Flags().StringVar(&root, "root", slot.DefaultRoot, "`DIR` with the slots a and b")
	must(cmd.MarkFlagDirname("root"))
	return cmd
}

func newUmountCommand(a *app) *cobra.Command {
	var root string
	var dryRun *bool
	cmd := &cobra.Command{
		Use:   "umount [SLOT...]",
		Short: "Take the read-only mounts of slots away",
		Long: `Take the read-only mounts of the given slots (both where none is given) away. The
slots stay valid stores, and what runs from them goes on.`,
		Args: anySlots,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runMount(cmd.Context(), a, root, args, false, *dryRun)
		},
	}
	dryRun = dryRunFlag(cmd)
	cmd.Flags().StringVar(&root, "root", slot.DefaultRoot, "`DIR` with the slots a and b")
	must(cmd.MarkFlagDirname("root"))
	return cmd
}

// anySlots takes names of slots.
func anySlots(_ *cobra.Command, args []string) error {
	for _, arg := range args {
		if _, err := slot.ParseName(arg); err != nil {
			return usageError{err}
		}
	}
	return nil
}

func runMount(ctx context.Context, a *app, dir string, args []string, mount, dryRun bool) error {
	root, err := slot.Open(dir, slot.Options{})
	if err != nil {
		return err
	}
	names := slot.Names()
	if len(args) > 0 {
		names = names[:0]
		for _, arg := range args {
			names = append(names, slot.Name(arg))
		}
	}
	switch {
	case dryRun && mount:
		return a.showWould(root.PlanMount(names...))
	case dryRun:
		return a.showWould(root.PlanUnmount(names...))
	case mount:
		err = root.Mount(ctx, names...)
	default:
		err = root.Unmount(names...)
	}
	if err != nil {
		return fmt.Errorf("slots in %s: %w", root.Dir(), err)
	}
	out := result.Mounts{Mounted: mount}
	for _, n := range names {
		out.Slots = append(out.Slots, root.Path(n))
	}
	return a.show(out)
}
