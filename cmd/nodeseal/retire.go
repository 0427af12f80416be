package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/slot"
)

// retirePoll is how often --when-safe looks.
const retirePoll = 10 * time.Second

type retireOptions struct {
	slots    slotOptions
	node     nodeOptions
	whenSafe bool
}

func (o *retireOptions) addFlags(flags *pflag.FlagSet) {
	o.slots.addFlags(flags)
	o.node.addFlags(flags)
	flags.BoolVar(&o.whenSafe, "when-safe", false, "wait until nothing needs the slot, then empty it")
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
kept, out of sight, until they end. Images that are pulled while a store is configured keep only what
it lacks: removing the store would break them.`,
		Example: `  nodeseal retire
  nodeseal retire a --when-safe`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("%s: %q is too much", cmd.CommandPath(), args[1])}
			}
			return anySlots(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runRetire(cmd.Context(), a, args, &o) },
	}
	o.addFlags(cmd.Flags())
	o.slots.complete(cmd)
	o.node.complete(cmd)
	return cmd
}

func runRetire(ctx context.Context, a *app, args []string, o *retireOptions) error {
	root, err := o.slots.open(false)
	if err != nil {
		return err
	}
	name, err := slotToRetire(root, args)
	if err != nil {
		return err
	}
	var told []slot.Use
	for {
		// The node's configuration may change while this waits.
		node, err := o.node.node(&o.slots)
		if err != nil {
			return err
		}
		res, err := root.Retire(ctx, name, node)
		if err == nil {
			return a.show(retireResult{
				Slot: res.Slot, Path: root.Path(res.Slot), Release: res.Release, Images: res.Images,
				Already: res.Already, Readers: res.Readers,
			})
		}
		var inUse *slot.InUseError
		if !o.whenSafe || !errors.As(err, &inUse) && !errors.Is(err, slot.ErrBusy) {
			return fmt.Errorf("retiring: %w", err)
		}
		if inUse != nil && !slices.Equal(told, inUse.Uses) {
			told = inUse.Uses
			waitFor(a.progress(), inUse)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retirePoll):
		}
	}
}

// waitFor says what is waited for.
func waitFor(report progress.Func, inUse *slot.InUseError) {
	report.Say(fmt.Sprintf("waiting: %v", inUse))
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
		return "", preconditionError{errors.New(
			"retiring: there is no older slot: one of them is empty, or it is not known which was filled first; name the slot")}
	}
	return older.Name, nil
}

// retireResult is what retire prints.
type retireResult struct {
	Slot slot.Name `json:"slot"`
	Path string    `json:"path"`
	// Release and Images are what the slot held.
	Release string `json:"release"`
	Images  int    `json:"images"`
	// Already says that it was empty before.
	Already bool `json:"already,omitempty"`
	// Readers counts running containers that read layers of the old store which
	// the other slot has too: its files are kept, out of sight, until they end.
	Readers int `json:"readers,omitempty"`
}

func (r retireResult) writeText(w io.Writer) error {
	p := &printer{w: w}
	if r.Already {
		p.line("OK: nothing to do: slot %s is empty (%s)", r.Slot, r.Path)
	} else {
		p.line("OK: slot %s is empty; it held %s (%s)", r.Slot, r.Release, plural(r.Images, "image"))
	}
	if r.Readers > 0 {
		p.line("%s still read layers that both slots had; the old files are removed by the next command after they end",
			plural(r.Readers, "running container"))
	}
	return p.err
}
