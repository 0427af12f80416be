package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/dryrun"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/result"
)

func newCleanCommand(a *app) *cobra.Command {
	var slots slotOptions
	var stores []string
	var work cleanWorkOptions
	var dryRun *bool
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "Remove what interrupted imports have left",
		Long: `Remove what interrupted commands have left below the slots: stores in the making,
and old ones that were not removed yet; with --store, what an interrupted import to
that directory has left, in either form. The next import starts over. Slots and stores themselves
are never touched.

With --work, give back what the work directory of nodeseal bundle holds beyond the
images of the lists to keep.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if work.work != "" {
				return runCleanWork(cmd.Context(), a, &work, *dryRun)
			}
			if *dryRun {
				return a.showWould(planClean(&slots, stores))
			}
			return runClean(cmd.Context(), a, &slots, stores)
		},
	}
	slots.addFlags(cmd.Flags())
	work.addFlags(cmd.Flags())
	dryRun = dryRunFlag(cmd)
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
	removed, err := install.Clean(ctx, root, stores)
	if err != nil {
		return err
	}
	return a.show(result.Clean{Removed: append([]string{}, removed...)})
}

// planClean says what runClean would remove.
func planClean(slots *slotOptions, stores []string) (*dryrun.Plan, error) {
	root, err := slots.open(false)
	if err != nil {
		return nil, err
	}
	return install.PlanClean(root, stores)
}
