package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/sources"
	"github.com/nodeseal/nodeseal/internal/result"
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
		Use:   "list {--cluster|--release IMAGE|--images LIST|--store DIR|--from-layout FILE|--imageset FILE}...",
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
	if list := (result.List{Document: found.Document}); len(list.Unresolved) > 0 && o.output == "" {
		fmt.Fprintf(a.stderr, "nodeseal: %s\n", list.Count())
	}
	if len(found.Problems) > 0 {
		return errPartial
	}
	return nil
}

// show prints the list, or how it differs from an older one.
func (o *listCommandOptions) show(a *app, found *sources.Result, older *imagelist.List) error {
	if older != nil {
		return a.show(result.Change{Change: imagelist.Diff(older, found.List)})
	}
	found.Format = imagelist.FormatV1
	return a.show(result.List{Document: found.Document, Output: o.output})
}
