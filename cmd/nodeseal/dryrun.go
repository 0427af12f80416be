package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/dryrun"
	"github.com/nodeseal/nodeseal/internal/result"
)

// dryRunFlag adds --dry-run to a command that changes something.
func dryRunFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("dry-run", false, "change nothing: print what would be done, and the sizes")
}

// showWould prints a plan, unless there was an error.
func (a *app) showWould(p *dryrun.Plan, err error) error {
	if err != nil {
		return fmt.Errorf("dry run: %w", err)
	}
	return a.show(result.NewWould(p))
}
