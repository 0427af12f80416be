package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/retire"
	"github.com/nodeseal/nodeseal/internal/slot"
)

type retireOptions struct {
	slots    slotOptions
	node     nodeOptions
	needed   neededOptions
	whenSafe bool
	dryRun   *bool
	// emptyNode and staged are what the node itself may lose.
	emptyNode, staged bool
}

func (o *retireOptions) addFlags(flags *pflag.FlagSet) {
	o.slots.addFlags(flags)
	o.node.addFlags(flags)
	o.needed.addFlags(flags)
	o.needed.addFiles(flags)
	flags.BoolVar(&o.whenSafe, "when-safe", false, "wait until nothing needs the slot, then empty it")
	flags.BoolVar(&o.emptyNode, "empty-node", false, "empty the last slot that holds images: after a reboot this node has none")
	flags.BoolVar(&o.staged, "staged", false, "empty the newer slot although it was filled since this node started")
}

func newRetireCommand(a *app) *cobra.Command {
	var o retireOptions
	cmd := &cobra.Command{
		Use:   "retire [SLOT]",
		Short: "Empty the older slot, when nothing depends on it any more",
		Long: `Empty a slot, the older one where none is named: an empty, valid store takes its
place. Nothing is done, with exit code 5, while a layer or an image record of the
primary store, or a container, needs what only this slot has; they are named.
Running containers that read layers which both slots have go on: the old files are
kept, out of sight, until they end. Images that are pulled while a store is
configured keep only what it lacks: removing the store would break them.

The last slot that holds images is emptied only with --empty-node, and the newer
slot, if it was filled since this node started, only with --staged.

With --cluster nothing is done either while a workload, an ImageStream, an operator
or the configuration of the nodes names an image that no other store of this node
has: a pod that is moved here after the next start, or oc debug node, would ask a
registry. What is over does not count: ended pods and jobs, earlier revisions. Where
not everything can be read, nothing is done. What oc get -o json printed of a cluster
does as well (--images).`,
		Example: `  nodeseal retire
  nodeseal retire a --cluster --kubeconfig reader.kubeconfig --when-safe
  nodeseal retire --images all.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("%s: %q is too much", cmd.CommandPath(), args[1])}
			}
			return anySlots(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runRetire(cmd.Context(), a, args, &o) },
	}
	o.addFlags(cmd.Flags())
	o.dryRun = dryRunFlag(cmd)
	o.slots.complete(cmd)
	o.node.complete(cmd)
	return cmd
}

func runRetire(ctx context.Context, a *app, args []string, o *retireOptions) error {
	if err := o.needed.check(); err != nil {
		return err
	}
	if o.whenSafe && slices.Contains(o.needed.images, "-") {
		return usageError{errors.New("--when-safe reads --images again and again: name a file, not standard input")}
	}
	root, err := o.slots.open(false)
	if err != nil {
		return err
	}
	name, err := slotToRetire(root, args)
	if err != nil {
		return err
	}
	if *o.dryRun && o.whenSafe {
		return usageError{errors.New("--dry-run does not wait: leave --when-safe out")}
	}
	r := &retire.Retirement{Root: root, Slot: name, Wait: o.whenSafe, Now: time.Now, Progress: a.progress()}
	r.Node = func() (slot.Node, error) {
		node, err := o.node.node(&o.slots)
		node.EmptyNode, node.EmptyStaged = o.emptyNode, o.staged
		return node, err
	}
	if o.needed.given() {
		r.Named = func(ctx context.Context) (*imagelist.List, error) { return o.needed.read(ctx, a) }
	}
	if *o.dryRun {
		node, err := r.Needs(ctx)
		if err != nil {
			return err
		}
		return a.showWould(root.PlanRetire(name, node))
	}
	res, err := r.Run(ctx)
	if err != nil {
		return err
	}
	return a.show(result.Retire{
		Slot: res.Slot, Path: root.Path(res.Slot), Release: res.Release, Images: res.Images,
		Already: res.Already, Readers: res.Readers,
	})
}

// slotToRetire is the named slot, or the older one.
func slotToRetire(root *slot.Root, args []string) (slot.Name, error) {
	if len(args) > 0 {
		return slot.Name(args[0]), nil
	}
	older, err := root.Older()
	if err != nil {
		return "", fmt.Errorf("retiring: %w", err)
	}
	if older == nil {
		return "", preconditionError{fmt.Errorf("retiring: there is no older slot: %s", root.NoOlder())}
	}
	return older.Name, nil
}
