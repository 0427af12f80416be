package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/rehearse"
	"github.com/nodeseal/nodeseal/internal/result"
)

func newRehearseCommand(a *app) *cobra.Command {
	var o rehearse.Command
	cmd := &cobra.Command{
		Use: "rehearse", Short: "Cut this node's CRI-O off for some minutes, and report what reached out",
		Long: rehearse.Help, Example: rehearse.Examples, Args: exactArgs(), RunE: func(cmd *cobra.Command, _ []string) error {
			o.MinutesGiven = cmd.Flags().Changed("minutes")
			plan, report, err := (&rehearse.Node{Now: time.Now}).Do(cmd.Context(), o, result.Announce(a.stderr, a.quiet))
			switch {
			case err != nil:
				return err
			case report == nil:
				return a.show(result.RehearsalPlan{Plan: plan})
			}
			if err := a.show(result.Rehearsal{Report: report}); err != nil || o.Stop {
				return err
			}
			if report.Outside() {
				return errFound
			}
			return report.Proof()
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Minutes, "minutes", 10, "end the cut after `N` minutes, 1440 at most")
	flags.StringArrayVar(&o.Allow, "allow", nil, "leave `ADDRESS`, a CIDR or an IP address with or without :PORT, reachable; may be repeated")
	flags.StringArrayVar(&o.Units, "unit", nil, "cut the systemd service `UNIT`, too; may be repeated")
	flags.BoolVar(&o.RestartCRIO, "restart-crio", false, "restart CRI-O under the cut (kubelet restarts with it, containers go on)")
	flags.BoolVar(&o.Reboot, "reboot", false, "restart the node: the cut lasts through this one boot, and N minutes in all")
	flags.BoolVar(&o.Stop, "stop", false, "end the cut now, and report")
	flags.BoolVar(&o.Report, "report", false, "report on the rehearsal that runs, or on the last one")
	flags.BoolVar(&o.DryRun, "dry-run", false, "change nothing: print what would be cut, and the rules")
	return cmd
}
