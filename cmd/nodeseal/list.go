package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/sources"
)

type listCommandOptions struct {
	lists    listOptions
	registry registryOptions
	output   string
	diff     string
}

func newListCommand(a *app) *cobra.Command {
	var o listCommandOptions
	cmd := &cobra.Command{
		Use:   "list {--cluster|--release IMAGE|--images LIST|--store DIR}...",
		Short: "Resolve every image that a cluster needs, to digests, with where each came from",
		Long: `Resolve every image that a cluster needs, to digests, with where each came from.
The list is the union of all sources that are named: what runs in a cluster and
what it can start, the payload of releases, lists and objects in files, the
stores of nodes.

Prints one reference by digest a line, sorted, after comment lines with the
release, the nodes' architectures and the tags; with --json also platforms,
mirrors and where each was found. --images takes both. What could not be read or
resolved is named on standard error, and the exit code is 3.`,
		Example: `  nodeseal list --cluster -o images.lst
  nodeseal list --release quay.io/openshift-release-dev/ocp-release:4.20.1-x86_64 --json
  oc get pods,deployments,daemonsets -A -o json | nodeseal list --images -`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runList(cmd.Context(), a, &o) },
	}
	o.lists.addFlags(cmd.Flags())
	o.registry.addFlags(cmd.Flags())
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "also write the references by digest to this `FILE`, one a line")
	cmd.Flags().StringVar(&o.diff, "diff", "", "print what is new and what is gone since this older `LIST`")
	return cmd
}

func runList(ctx context.Context, a *app, o *listCommandOptions) error {
	var older *imagelist.List
	var err error
	if o.diff != "" {
		if older, err = readLists(a, []string{o.diff}); err != nil {
			return err
		}
	}
	found, _, err := o.lists.gather(ctx, a, &o.registry, true)
	if err != nil {
		return err
	}
	if o.output != "" {
		var plain bytes.Buffer
		if err := found.WritePlain(&plain); err != nil {
			return err
		}
		if err := atomicfile.WriteBytes(o.output, 0o644, plain.Bytes()); err != nil {
			return fmt.Errorf("writing %s: %w", o.output, err)
		}
	}
	if err := o.show(a, found, older); err != nil {
		return err
	}
	a.problems(found.Problems)
	if len(found.Problems) > 0 {
		return errPartial
	}
	return nil
}

// show prints the list, or how it differs from an older one.
func (o *listCommandOptions) show(a *app, found *sources.Result, older *imagelist.List) error {
	if older != nil {
		return a.show(changeResult{imagelist.Diff(older, found.List)})
	}
	found.Format = imagelist.FormatV1
	return a.show(listResult{found.Document, o.output})
}

// listResult is what list prints.
type listResult struct {
	imagelist.Document

	output string
}

func (r listResult) WriteText(w io.Writer) error {
	if r.output == "" {
		return r.WritePlain(w)
	}
	p := &printer{w: w}
	resolved := len(r.Images) - len(r.Unresolved)
	p.line("%s: %s", r.output, plural(resolved, "image"))
	return p.err
}

// changeResult is what list --diff prints.
type changeResult struct{ imagelist.Change }

func (r changeResult) WriteText(w io.Writer) error {
	p := &printer{w: w}
	for _, e := range r.Added {
		p.line("+ %s", e.Ref)
	}
	for _, e := range r.Removed {
		p.line("- %s", e.Ref)
	}
	return p.err
}
