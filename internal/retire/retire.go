// Package retire empties a slot when nothing needs it any more: at once, or after waiting
// until that is so. What the slot itself must hold to is the business of internal/slot.
package retire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/cluster"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/slot"
)

const (
	// poll is how often a retirement that waits looks.
	poll = 10 * time.Second
	// clusterPoll is how old an answer of the cluster may be while it waits.
	clusterPoll = time.Minute
)

// Retirement empties one slot of Root.
type Retirement struct {
	Root *slot.Root
	Slot slot.Name
	// Node returns what of the node may need the slot: its configuration may change while
	// this waits.
	Node func() (slot.Node, error)
	// Named returns which images a cluster needs; nil asks none. An error says that this is not
	// known.
	Named func(ctx context.Context) (*imagelist.List, error)
	// Wait tries until nothing needs the slot.
	Wait bool
	// Now is the time.
	Now func() time.Time
	// Progress is told what is waited for.
	Progress progress.Func

	told string // what it waits for
	// named is what the cluster said at asked; the zero time is never.
	named *imagelist.List
	asked time.Time
}

// Run empties the slot, as slot.Root.Retire does. It is called once.
func (r *Retirement) Run(ctx context.Context) (*slot.Retired, error) {
	for {
		res, err := r.try(ctx)
		if err == nil {
			return res, nil
		}
		if !r.Wait || !r.passes(err) {
			return nil, fmt.Errorf("retiring: %w", err)
		}
		if !errors.Is(err, filelock.ErrBusy) && err.Error() != r.told {
			r.told = err.Error()
			r.Progress.Say("waiting: " + slot.Waiting(err))
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(poll):
		}
	}
}

// try retires the slot where that is safe.
func (r *Retirement) try(ctx context.Context) (*slot.Retired, error) {
	node, err := r.Needs(ctx)
	if err != nil {
		return nil, err
	}
	return r.Root.Retire(ctx, r.Slot, node)
}

// Needs returns what may need the slot, as it is now.
func (r *Retirement) Needs(ctx context.Context) (slot.Node, error) {
	node, err := r.Node()
	if err != nil {
		return slot.Node{}, err
	}
	node.Named, err = r.needed(ctx, node)
	return node, err
}

// needed asks the cluster, where there is one to ask. While the node itself needs the slot a
// retirement that waits leaves the cluster alone, and later it asks it now and then.
func (r *Retirement) needed(ctx context.Context, node slot.Node) (*imagelist.List, error) {
	if r.Named == nil {
		return nil, nil
	}
	s, err := r.Root.Read(r.Slot)
	if err != nil {
		return nil, err
	}
	if s.Store.Empty() {
		return nil, nil
	}
	if r.Wait {
		uses, err := r.Root.Uses(s, node)
		if err != nil {
			return nil, err
		}
		if len(uses) > 0 {
			return nil, &slot.InUseError{Slot: r.Slot, Root: r.Root.Dir(), Uses: uses}
		}
		if r.named != nil && r.Now().Sub(r.asked) < clusterPoll {
			return r.named, nil
		}
	}
	named, err := r.Named(ctx)
	if err != nil {
		return nil, fmt.Errorf("it is not known what the cluster needs, so nothing was done: %w", err)
	}
	r.named, r.asked = named, r.Now()
	return named, nil
}

// passes reports errors that waiting may help against. A cluster that was never
// reached is more likely another one than one that is away.
func (r *Retirement) passes(err error) bool {
	var inUse *slot.InUseError
	if errors.As(err, &inUse) {
		return !slices.ContainsFunc(inUse.Uses, slot.Use.Lasts)
	}
	return errors.Is(err, filelock.ErrBusy) || errors.Is(err, cluster.ErrUnreachable) && !r.asked.IsZero()
}
