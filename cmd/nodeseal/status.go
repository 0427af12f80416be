package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/nodestatus"
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
	opts := nodestatus.Options{Root: root, Now: time.Now(), OtherDisk: o.slots.sysroot != ""}
	opts.Storage, opts.ConfPath, opts.ConfErr = o.node.storage(&o.slots)
	if opts.ConfErr == nil {
		if opts.Node, err = o.node.node(&o.slots); err != nil {
			return err
		}
		if o.needed.given() {
			opts.Node.Named, opts.NamedErr = o.needed.read(ctx, a)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
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
	if err := a.show(statusResult{Status: status, metrics: o.metrics, asked: opts.Node.Named != nil}); err != nil {
		return err
	}
	if !status.RebootOK() || len(status.Missing) > 0 {
		return errFound
	}
	return nil
}

// few bounds lines of one kind.
const few = 10

// statusResult is what status prints.
type statusResult struct {
	*nodestatus.Status
	metrics bool
	asked   bool // the cluster was
}

func (r statusResult) WriteText(w io.Writer) error {
	if r.metrics {
		return r.WriteMetrics(w)
	}
	p := &printer{w: w}
	for i := range r.Slots {
		writeSlot(p, &r.Slots[i], r.asked)
	}
	conf := r.StorageConf
	if conf == "" {
		conf = "no storage.conf"
	}
	p.line("%s: %s, graph root %s", conf, plural(len(r.Stores), "additional store"), r.GraphRoot)
	p.line("CRI-O and podman find %d of %s", r.Visible, plural(r.References, "reference"))
	for _, u := range r.Unseen[:min(few, len(r.Unseen))] {
		p.line("UNSEEN   %s: %s", u.What, u.Message)
	}
	if len(r.Unseen) > few {
		p.line("UNSEEN   and %d more, which --json names", len(r.Unseen)-few)
	}
	for _, ref := range r.Missing {
		p.line("MISSING  %s", ref)
	}
	for _, x := range r.Warnings {
		p.line("WARNING  %s: %s", x.What, x.Message)
	}
	for _, x := range r.Problems {
		p.line("PROBLEM  %s: %s", x.What, x.Message)
	}
	switch {
	case !r.RebootOK():
		p.line("NOT OK: a reboot with no registry would fail")
	case len(r.Missing) > 0:
		p.line("NOT OK: %s missing", plural(len(r.Missing), "reference"))
	case r.References == 0:
		p.line("OK, but empty: no slot holds an image; nodeseal import BUNDLE fills one")
	default:
		p.line("OK: a reboot needs no registry")
	}
	return p.err
}

func writeSlot(p *printer, s *nodestatus.Slot, asked bool) {
	state := "not sealed"
	switch {
	case s.Immutable && s.Mounted:
		state = "sealed"
	case s.Immutable:
		state = "immutable, not mounted read-only"
	case s.Mounted:
		state = "mounted read-only, not immutable"
	}
	p.line("slot %s: %s, %s (%s)", s.Name, s.Release, state, s.Path)
	if s.Images == 0 {
		return
	}
	p.line("  %s, %s, %s", plural(s.Images, "image"), plural(s.References, "reference"), plural(s.Layers, "layer"))
	if s.Image != "" {
		writeImage(p, s)
	}
	if s.Verified.IsZero() {
		p.line("  never verified here")
	} else {
		p.line("  verified %s ago", (time.Duration(s.VerifiedAge) * time.Second).Truncate(time.Minute))
	}
	switch {
	case len(s.Uses) > 0:
	case asked:
		p.line("  neither this node nor the cluster needs it: retire --cluster would empty it")
		return
	default:
		p.line("  nothing on this node needs it: retire would empty it")
		return
	}
	p.line("  retire would refuse, it is needed by %s:", plural(len(s.Uses), "thing"))
	for _, u := range s.Uses[:min(few, len(s.Uses))] {
		p.line("    %s", u)
	}
	if len(s.Uses) > few {
		p.line("    and %d more, which --json names", len(s.Uses)-few)
	}
}

// writeImage says how the image of a slot stands.
func writeImage(p *printer, s *nodestatus.Slot) {
	how := "not mounted"
	switch {
	case strings.HasPrefix(s.Source, "/dev/"):
		how = "mounted by " + s.Source
	case s.Source != "":
		how = "mounted from the file"
	}
	recorded := "no digest recorded"
	if s.Digest != "" {
		recorded = s.Digest.String()
	}
	p.line("  %s, %s, %s", s.Image, how, recorded)
}
