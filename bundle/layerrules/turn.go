package layerrules

import (
	"context"

	"github.com/nodeseal/nodeseal/internal/budget"
)

// LargeMemory is how many bytes a Checker, and what its caller keeps beside it, may hold
// before it waits for its turn.
const LargeMemory = 6 << 20

// turns is for one large layer at a time. Memory is the process's, so it is, too.
//
//nolint:gochecknoglobals // as said
var turns = budget.NewTurns(LargeMemory)

// Begin begins the work on a layer that is read beside others, for Bound. The caller calls
// its Done when it keeps nothing of the layer any more.
func Begin(ctx context.Context) *budget.Work { return turns.Begin(ctx) }

// Bound has layers of many members checked one after another, so that any number of
// layers that are read in parallel need little more memory than one: from LargeMemory on
// Add waits for the turn of the layer, or until the context of work ends, whose error it
// returns then. The caller keeps each bytes for each member, which count.
func (c *Checker) Bound(work *budget.Work, each int64) { c.work, c.beside = work, each }

// held is about how many bytes c and its caller hold.
func (c *Checker) held() int64 {
	return c.memory() + int64(max(c.members, len(c.kinds)))*c.beside
}
