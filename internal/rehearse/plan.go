package rehearse

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// unitNames are names that are safe in rules, paths and scripts. Of those that escaped
// matches, systemd writes the control group in another way.
var (
	unitNames = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.@-]{0,200}\.service$`)
	escaped   = regexp.MustCompile(`^(cgroup|cpu|cpuacct|cpuset|io|blkio|memory|devices|pids|bpf-[a-z-]+)\.`)
)

// Plan finds out what a rehearsal would cut on this node, and changes nothing. Errors wrap
// ErrUsage, or ErrPrecondition where the node lacks something.
func (n *Node) Plan(ctx context.Context, o Options) (*Plan, error) {
	if o.Minutes < 1 || o.Minutes > most {
		return nil, fmt.Errorf("--minutes %d: want 1 to %d: %w", o.Minutes, most, ErrUsage)
	}
	if o.Reboot && o.RestartCRIO {
		return nil, fmt.Errorf("--reboot restarts CRI-O, too: leave --restart-crio out: %w", ErrUsage)
	}
	p := &Plan{Minutes: o.Minutes}
	for _, text := range o.Allow {
		a, err := parseAllow(text)
		if err != nil {
			return nil, err
		}
		p.Allow = append(p.Allow, a)
	}
	for _, unit := range o.Units {
		if !unitNames.MatchString(unit) || escaped.MatchString(unit) {
			return nil, fmt.Errorf("--unit %q: want the name of a service, as podman-job.service: %w", unit, ErrUsage)
		}
	}
	if err := n.check(ctx); err != nil {
		return nil, err
	}
	var err error
	if p.Units, err = n.units(ctx, o.Units); err != nil {
		return nil, err
	}
	found, notes := n.findAllowed(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	p.Allow, p.Notes = merge(append(p.Allow, found...)), notes
	if len(p.Allow) > maxAllow {
		return nil, fmt.Errorf("%d addresses would stay reachable, more than %d: name networks with --allow: %w", len(p.Allow), maxAllow, ErrUsage)
	}
	switch {
	case o.Reboot:
		p.Then = "reboot"
	case o.RestartCRIO:
		p.Then = "restart " + crio
	}
	p.Rules = rules(p.Allow, p.Units)
	return p, n.try(ctx, p.Rules)
}

// check looks for what a rehearsal needs.
func (n *Node) check(ctx context.Context) error {
	if n.Run == nil {
		for _, program := range []string{"nft", "systemctl"} {
			if _, err := exec.LookPath(program); err != nil {
				return fmt.Errorf("%s is not installed: %w", program, ErrPrecondition)
			}
		}
	}
	if !n.exists("run/systemd/system") {
		return fmt.Errorf("systemd does not run here: %w", ErrPrecondition)
	}
	if !n.exists("sys/fs/cgroup/cgroup.controllers") {
		return fmt.Errorf("control groups are those of version 1, which nftables cannot tell apart: %w", ErrPrecondition)
	}
	if err := n.checkCRIO(); err != nil {
		return err
	}
	return ctx.Err()
}

// units are those to cut that the node has: CRI-O, those that pull besides, and the given.
func (n *Node) units(ctx context.Context, named []string) ([]string, error) {
	var out []string
	for _, unit := range slices.Concat([]string{crio}, named, pullers()) {
		if slices.Contains(out, unit) {
			continue
		}
		show, err := n.run(ctx, "", "systemctl", "show", unit, "--property=Id,LoadState,Slice")
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", unit, err)
		}
		properties := strings.Fields(string(show))
		required := unit == crio || slices.Contains(named, unit)
		switch {
		case !slices.Contains(properties, "LoadState=loaded"):
			if required {
				return nil, fmt.Errorf("systemd has no %s here: %w", unit, ErrPrecondition)
			}
		case !slices.Contains(properties, "Id="+unit): // its control group has the other name
			return nil, fmt.Errorf("%s is another name of a service (%s), which is the one to cut: %w", unit, strings.Join(properties, " "), ErrPrecondition)
		case !slices.Contains(properties, "Slice=system.slice"):
			if required {
				return nil, fmt.Errorf("%s is not in system.slice (%s): %w", unit, strings.Join(properties, " "), ErrPrecondition)
			}
		default:
			out = append(out, unit)
		}
	}
	return out, nil
}

// try has nft and the kernel check the rules, with one that matches a control group. It
// loads nothing.
func (n *Node) try(ctx context.Context, rules string) error {
	rules = strings.ReplaceAll(rules, "@SECONDS@", "60") +
		"add rule inet " + table + " who_1 socket cgroupv2 level 1 \"system.slice\" jump cut_1\n"
	if _, err := n.run(ctx, rules, "nft", "--check", "--file", "-"); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("nft does not take the rules (control groups need nftables 1.0 and Linux 5.13, as in RHEL 9; as root): %w: %w", err, ErrPrecondition)
	}
	return nil
}
