package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/report"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/slot"
)

type reportOptions struct {
	root, output string
	list, names  bool
}

func newReportCommand(a *app) *cobra.Command {
	var o reportOptions
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Collect what support needs to know of this node, without secrets",
		Long: `Write one archive for the person who helps: what status says, what audit finds in the node's own
MachineConfig and static pods, the configuration of storage, registries and CRI-O, units, versions, mounts,
and the last lines of the journal of nodeseal and CRI-O.

Files with credentials and keys are never read. Passwords, tokens, keys and what else has the form of a
secret are replaced in all the rest. Its README.txt lists what is in the archive, what could not be read,
and what was left out: read the archive before you pass it on. Nothing is changed on the node.

Exits with 3 when something could not be read; what a node does not have is no failure.`,
		Example: `  nodeseal report
  nodeseal report --redact-names -o /run/media/stick/node-7.tar.gz
  ssh core@node sudo nodeseal report -o - > node-7.tar.gz`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runReport(cmd.Context(), a, &o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.root, "root", slot.DefaultRoot, "`DIR` with the slots a and b")
	flags.StringVarP(&o.output, "output", "o", "nodeseal-report.tar.gz", "write the archive to `FILE`; - is standard output")
	flags.BoolVar(&o.list, "list", false, "print what a report would take; read and write nothing")
	flags.BoolVar(&o.names, "redact-names", false, "replace names of hosts and registries, and addresses, by digests")
	must(cmd.MarkFlagDirname("root"))
	return cmd
}

func runReport(ctx context.Context, a *app, o *reportOptions) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	items := report.Node{Root: "/", Program: program, Slots: o.root, Units: []string{
		machine.InstallUnit, machine.SlotsUnit, machine.ImportUnit, nodeconfig.ServeUnitName, machine.HostsUnit, "nodeseal-rehearse.service",
		machine.MountUnit(o.root + "/a"), machine.MountUnit(o.root + "/b"),
	}}.Items()
	if o.list {
		return a.show(result.NewReportList(items))
	}
	if o.output == "-" && a.json {
		return usageError{errors.New("report: -o - or --json, not both: standard output has place for one")}
	}
	if uid := os.Geteuid(); uid != 0 {
		return preconditionError{fmt.Errorf("report as user %d: %w", uid, install.ErrNotRoot)}
	}
	var salt []byte
	if o.names {
		salt = []byte(rand.Text())
	}
	r, err := report.Collect(ctx, items, a.mark(), salt)
	if err != nil {
		return err
	}
	if err := a.writeReport(o, r); err != nil {
		return err
	}
	if r.Problems() > 0 {
		return errPartial
	}
	return nil
}

// writeReport writes the archive, and says what is in it.
func (a *app) writeReport(o *reportOptions, r *report.Report) error {
	if o.output == "-" {
		return r.Write(a.stdout)
	}
	f, err := atomicfile.Create(o.output, 0o600)
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	defer f.Close() //nolint:errcheck // removes what Commit did not name
	n := &counted{w: f}
	if err := r.Write(n); err != nil {
		return err
	}
	if err := f.Commit(); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return a.show(result.Report{File: o.output, Size: n.n, Members: r.Members, LeftOut: report.LeftOut()})
}

// counted counts what is written.
type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
