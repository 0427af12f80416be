package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
)

func newCleanCommand(a *app) *cobra.Command {
	var slots slotOptions
	var stores []string
	var work cleanWorkOptions
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "Remove what interrupted imports have left",
		Long: `Remove what interrupted commands have left below the slots: stores in the making,
and old ones that were not removed yet; with --store, what an interrupted import to
that directory has left, in either form. The next import begins anew. Slots and stores themselves
are never touched.

With --work, give back what the work directory of nodeseal bundle holds beyond the
images of the lists to keep.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if work.work != "" {
				return runCleanWork(cmd.Context(), a, &work)
			}
			return runClean(cmd.Context(), a, &slots, stores)
		},
	}
	slots.addFlags(cmd.Flags())
	work.addFlags(cmd.Flags())
	slots.complete(cmd)
	cmd.Flags().StringArrayVar(&stores, "store", nil, "also clean up after imports to this `DIR`; may be repeated")
	must(cmd.MarkFlagDirname("store"))
	return cmd
}

func runClean(ctx context.Context, a *app, slots *slotOptions, stores []string) error {
	root, err := slots.open(false)
	if err != nil {
		return err
	}
	removed, err := root.Clean(ctx)
	if err != nil {
		return fmt.Errorf("cleaning: %w", err)
	}
	for _, s := range stores {
		found, err := dir.Clean(s)
		if err != nil {
			return fmt.Errorf("cleaning: %w", err)
		}
		if found {
			removed = append(removed, dir.PartialName(s))
		}
		left, err := image.Clean(s + image.Suffix)
		if err != nil {
			return fmt.Errorf("cleaning: %w", err)
		}
		removed = append(removed, left...)
	}
	return a.show(cleanResult{Removed: append([]string{}, removed...)})
}

// cleanResult is what clean prints.
type cleanResult struct {
	Removed []string `json:"removed"`
}

func (r cleanResult) WriteText(w io.Writer) error {
	p := &printer{w: w}
	for _, path := range r.Removed {
		p.line("removed %s", path)
	}
	if len(r.Removed) == 0 {
		p.line("OK: nothing was left")
	}
	return p.err
}
