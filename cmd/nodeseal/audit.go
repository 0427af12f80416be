package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/audit"
	"github.com/nodeseal/nodeseal/internal/audit/report"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/page"
	"github.com/nodeseal/nodeseal/internal/store"
)

type auditOptions struct {
	cluster clusterOptions
	objects []string
	list    string
	bundle  string
	key     keyOptions
	store   string
	html    string
	// heldFrom says what held read, with its release.
	heldFrom []string
}

func newAuditCommand(a *app) *cobra.Command {
	var o auditOptions
	cmd := &cobra.Command{
		Use:   "audit [--list LIST|--bundle BUNDLE|--store DIR]",
		Short: "Say what in a cluster would still reach for a registry, and how to mend it",
		Long: `Read a cluster, or objects that oc printed, and say what would still reach for a
registry when there is none: each finding with why it matters and how to mend
it. With a list, a bundle or a store, also what the nodes would lack.

Exits with 4 when something would break a reboot or the next upgrade, with 3 when
nothing would but not everything could be read.`,
		Example: `  nodeseal audit --bundle release.tar.zst
  nodeseal audit --html audit.html --list images.lst
  oc get all,mc,mcp,nodes -A -o yaml | nodeseal audit --objects -`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runAudit(cmd.Context(), a, &o) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.cluster.use, "cluster", false, "read the cluster (the default without --objects)")
	o.cluster.addReach(flags)
	flags.StringArrayVar(&o.objects, "objects", nil, "`FILE` of objects as oc get -o json|yaml printed them; - is standard input; may be repeated")
	flags.StringVar(&o.list, "list", "", "compare with a `LIST`")
	flags.StringVar(&o.bundle, "bundle", "", "compare with a `BUNDLE`")
	o.key.addFlags(flags)
	flags.StringVar(&o.store, "store", "", "compare with a store `DIR` that nodeseal import made")
	flags.StringVar(&o.html, "html", "", "also write the findings to `FILE`, as one HTML page")
	return cmd
}

// errNoObject is about a file that says nothing of a cluster.
var errNoObject = errors.New("there is no object in it: did oc get fail that wrote it?")

func runAudit(ctx context.Context, a *app, o *auditOptions) error {
	held, err := o.held(ctx, a)
	if err != nil {
		return err
	}
	var recorder audit.Recorder
	for _, f := range a.files(o.objects) {
		r, err := f.Open()
		if err != nil {
			return err
		}
		found := false
		err = errors.Join(kubeobject.Read(r, func(obj kubeobject.Object) error { found = true; recorder.Add(obj); return nil }), r.Close())
		if err != nil {
			return fmt.Errorf("reading %s: %w", f.Name, err)
		}
		if !found {
			return preconditionError{fmt.Errorf("%s: %w", f.Name, errNoObject)}
		}
	}
	if o.cluster.use || len(o.objects) == 0 {
		client, err := o.cluster.client(a)
		if err != nil {
			return err
		}
		problems, err := client.Walk(ctx, recorder.Add)
		if err != nil {
			return fmt.Errorf("reading the cluster: %w", err)
		}
		for _, p := range problems {
			recorder.Report(p)
		}
	}
	rep := audit.Run(recorder.Snapshot(held))
	made := a.mark(o.from()...)
	rep.Made = &made
	if o.html != "" {
		if err := page.WriteFile(o.html, func(w io.Writer) error { return report.HTML(w, rep) }); err != nil {
			return err
		}
	}
	return a.showAudit(rep)
}

// from says what a report is made from.
func (o *auditOptions) from() (from []string) {
	for _, path := range o.objects {
		from = append(from, "objects "+path)
	}
	if o.cluster.use || len(o.objects) == 0 {
		from = append(from, "the cluster")
	}
	return append(from, o.heldFrom...)
}

// held reads what the nodes' images are to be compared with; nil is nothing.
func (o *auditOptions) held(ctx context.Context, a *app) (*audit.Held, error) {
	given := 0
	for _, path := range []string{o.list, o.bundle, o.store} {
		if path != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return nil, usageError{errors.New("want one of --list, --bundle and --store")}
	case o.bundle == "":
		if err := o.key.unused("audit", "a list, a store or a cluster"); err != nil {
			return nil, err
		}
	}
	switch {
	case o.list != "":
		list, err := readLists(a, []string{o.list})
		if err != nil {
			return nil, err
		}
		o.heldFrom = []string{"list " + o.list}
		return audit.HeldList("list "+o.list, list), nil
	case o.bundle != "":
		f, err := o.key.Open(ctx, o.bundle)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // read only
		o.heldFrom = madeby.Of("bundle "+o.bundle, f.RawInventory(), f.Inventory())
		held, err := heldBy(ctx, "bundle ", o.bundle, f, f.Inventory().Images)
		if err != nil {
			return nil, err
		}
		return held, held.ReadLayers(ctx, o.bundle, (&archive.Report{RawInventory: f.RawInventory()}).Same, a.progress())
	case o.store != "":
		s, err := store.OpenStored(store.Files(o.store))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.store, err)
		}
		o.heldFrom = madeby.Of("store "+o.store, s.RawInventory(), s.Inventory())
		return heldBy(ctx, "store ", o.store, s, s.Kept())
	}
	return nil, nil
}

// heldBy proves the images that something holds, and returns what it holds.
func heldBy(ctx context.Context, kind, path string, from store.Metadata, images []bundle.Image) (*audit.Held, error) {
	if err := store.Prove(ctx, from, images); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return audit.HeldInventory(kind+path, from.Inventory()), nil
}

// showAudit prints the report, and says by its error what the exit code is.
func (a *app) showAudit(rep audit.Report) error {
	if err := a.show(auditResult{rep}); err != nil {
		return err
	}
	switch {
	case rep.Breaks():
		return errFound
	case len(rep.Problems) > 0:
		return errPartial
	}
	return nil
}

// auditResult is what audit prints.
type auditResult struct{ audit.Report }

func (r auditResult) WriteText(w io.Writer) error {
	return report.Text(w, r.Report)
}
