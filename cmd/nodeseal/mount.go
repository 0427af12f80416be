package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/slot"
)

func newMountCommand(a *app) *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use:   "mount [SLOT...]",
		Short: "Mount slots read-only, as the units do at each start",
		Long: `Make slots that are missing, as empty stores, and mount the given ones (both
where none is given) read-only: a directory over itself, an image over the empty
store in its place. It may be run at any time. A slot whose mount fails is a valid
store all the same: its configured path stays good. An image that is damaged, or
that the kernel cannot mount, leaves the slot empty (exit code 4 or 5).`,
		Args: anySlots,
		RunE: func(cmd *cobra.Command, args []string) error { return runMount(cmd.Context(), a, root, args, true) },
	}
	cmd.Flags().StringVar(&root, "root", slot.DefaultRoot, "`DIR` with the slots a and b")
	must(cmd.MarkFlagDirname("root"))
	return cmd
}

func newUmountCommand(a *app) *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use:   "umount [SLOT...]",
		Short: "Take the read-only mounts of slots away",
		Long: `Take the read-only mounts of the given slots (both where none is given) away. The
slots stay valid stores, and what runs from them goes on.`,
		Args: anySlots,
		RunE: func(cmd *cobra.Command, args []string) error { return runMount(cmd.Context(), a, root, args, false) },
	}
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

func runMount(ctx context.Context, a *app, dir string, args []string, mount bool) error {
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
	if mount {
		err = root.Mount(ctx, names...)
	} else {
		err = root.Unmount(names...)
	}
	if err != nil {
		return fmt.Errorf("slots in %s: %w", root.Dir(), err)
	}
	out := mountResult{Mounted: mount}
	for _, n := range names {
		out.Slots = append(out.Slots, root.Path(n))
	}
	return a.show(out)
}

// mountResult is what mount and umount print.
type mountResult struct {
	Mounted bool     `json:"mounted"`
	Slots   []string `json:"slots"`
}

func (r mountResult) WriteText(w io.Writer) error {
	p := &printer{w: w}
	for _, s := range r.Slots {
		if r.Mounted {
			p.line("%s: mounted read-only", s)
		} else {
			p.line("%s: not mounted", s)
		}
	}
	return p.err
}
