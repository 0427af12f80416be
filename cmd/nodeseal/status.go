package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/fips"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/nodestatus"
	"github.com/nodeseal/nodeseal/internal/result"
)

type statusOptions struct {
	slots   slotOptions
	node    nodeOptions
	needed  neededOptions
	images  []string
	metrics bool
}

func (o *statusOptions) addFlags(flags *pflag.FlagSet) {
	o.slots.addFlags(flags)
	o.node.addFlags(flags)
	o.needed.addFlags(flags)
	flags.StringArrayVar(&o.images, "images", nil, "`LIST` of references that the node must have; may be repeated")
	flags.BoolVar(&o.metrics, "metrics", false, "print OpenMetrics text, for node_exporter's textfile collector")
}

func newStatusCommand(a *app) *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how this node stands: slots, seal, storage.conf, what is missing",
		Long: `Say how this node stands: what each slot holds, whether it is sealed and mounted,
when it was last verified, what still needs it; whether storage.conf names it, and
whether CRI-O and podman find every image in it; with --images, what is missing;
with --cluster, also what of the cluster would keep retire --cluster from emptying
a slot. Nothing is changed. Exits with 4 when a reboot would fail or an image is missing.`,
		Example: `  nodeseal status
  nodeseal status --images images.lst --json
  nodeseal status --metrics > /var/lib/node_exporter/textfile/nodeseal.prom`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runStatus(cmd.Context(), a, &o) },
	}
	o.addFlags(cmd.Flags())
	o.slots.complete(cmd)
	o.node.complete(cmd)
	return cmd
}

func runStatus(ctx context.Context, a *app, o *statusOptions) (err error) {
	if o.metrics && a.json {
		return usageError{errors.New("status: --metrics or --json, not both")}
	}
	if err := o.needed.check(); err != nil {
		return err
	}
	root, err := o.slots.open(false)
	if err != nil {
		return err
	}
	opts := nodestatus.Options{Root: root, Now: time.Now(), OtherDisk: o.slots.sysroot != "", FIPS: fips.Read()}
	opts.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	opts.Views, opts.Path = o.node.views(&o.slots), o.slots.path
	// Why the node is not known is a problem that Collect reports.
	if opts.Node, err = o.node.node(&o.slots); err == nil && o.needed.given() {
		opts.Node.Named, opts.NamedErr = o.needed.read(ctx, a)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(o.images) > 0 {
		if opts.Wanted, err = readLists(a, o.images); err != nil {
			return err
		}
	}
	scratch, err := os.MkdirTemp("", "nodeseal-status-")
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	opts.Scratch = filepath.Join(scratch, "check")
	status, err := nodestatus.Collect(ctx, opts)
	if uid := os.Geteuid(); uid != 0 && errors.Is(err, fs.ErrPermission) {
		return preconditionError{fmt.Errorf("status as user %d: %w", uid, install.ErrNotRoot)}
	}
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	if err := a.show(result.Status{Status: status, Metrics: o.metrics, Asked: opts.Node.Named != nil}); err != nil {
		return err
	}
	if !status.RebootOK() || len(status.Missing) > 0 {
		return errFound
	}
	return nil
}
