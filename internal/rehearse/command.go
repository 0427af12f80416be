package rehearse

import (
	"context"
	"fmt"
)

// Help and Examples are the words of the command.
const (
	Help = `Prove on a staged node that it needs no registry: for some minutes, CRI-O and the
other services that pull images reach nothing but loopback, the API server, and the
pod and service networks. Mirrors are cut, too, also those in the cluster's own
subnet. Kubelet, running containers and logins are not touched, and the node stays
Ready.

What stays reachable is printed before anything is cut. Then the command waits for
the end, and reports which service tried to reach which address, how often, and
which images were asked for. The report is the proof to sign before shipping.

systemd holds the cut (nftables, a table of its own) and ends it after N minutes,
whatever becomes of nodeseal; the kernel ends it besides. A power cut and each boot
that --reboot did not order undo it. Needs root, nftables 1.0 and control groups of
version 2, as OpenShift nodes with RHEL 9 have.

Exits with 4 when a service tried to reach something outside (CRI-O's questions to
DNS do not count) or did not get an image; with 1 when the rehearsal proves nothing, because
it ended early or was not in force all the time, or CRI-O or kubelet did not run then.`
	Examples = `  nodeseal rehearse --dry-run
  nodeseal rehearse --minutes 15 --restart-crio
  nodeseal rehearse --minutes 30 --reboot
  nodeseal rehearse --report
  nodeseal rehearse --stop`
)

// Command is a command line.
type Command struct {
	Options
	// At most one of them: to begin no rehearsal, but to end it, to tell of it, or to plan it.
	Stop, Report, DryRun bool
	// MinutesGiven: Minutes is not the default, but was asked for.
	MinutesGiven bool
}

// check refuses what makes no sense together.
func (c *Command) check() error {
	chosen := 0
	for _, flag := range []bool{c.Stop, c.Report, c.DryRun} {
		if flag {
			chosen++
		}
	}
	switch {
	case chosen > 1:
		return fmt.Errorf("--stop, --report and --dry-run exclude each other: %w", ErrUsage)
	case (c.Stop || c.Report) && (c.MinutesGiven || c.RestartCRIO || c.Reboot || len(c.Allow) > 0 || len(c.Units) > 0):
		return fmt.Errorf("--stop and --report begin no rehearsal: leave --minutes, --restart-crio, --reboot, --allow and --unit out: %w", ErrUsage)
	}
	return nil
}

// Do runs a command: it returns the plan with DryRun, and else the report. With Reboot it
// returns when the node goes down. announce is called before anything is cut.
func (n *Node) Do(ctx context.Context, c Command, announce func(*Plan) error) (*Plan, *Report, error) {
	if err := c.check(); err != nil {
		return nil, nil, err
	}
	if c.Stop {
		if err := n.Stop(ctx); err != nil {
			return nil, nil, err
		}
	}
	if !c.Stop && !c.Report {
		plan, err := n.Plan(ctx, c.Options)
		if err != nil || c.DryRun {
			return plan, nil, err
		}
		if err := n.none(); err != nil {
			return nil, nil, err
		}
		if err := announce(plan); err != nil {
			return nil, nil, err
		}
		if err := n.Begin(ctx, plan); err != nil {
			return nil, nil, err
		}
		if !c.Reboot {
			if err := n.Wait(ctx, plan); err != nil {
				return nil, nil, err
			}
		}
	}
	report, err := n.Report(ctx)
	return nil, report, err
}
