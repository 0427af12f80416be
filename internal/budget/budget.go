// Package budget bounds the memory that many readers of a process have together.
//
// Whoever takes from a Budget waits for others to give back, so the rule against
// deadlocks is: a goroutine takes from one Budget once, for all that it will need,
// and from several Budgets always in the same order. The Budgets of this program, in
// that order: file tables of a bundle (package bundle/archive), deltas of layers (package
// internal/base), layers of a bundle (bundle/archive), windows of decoders (package
// bundle/compression). Turns of large layers (package bundle/layerrules)
// come last.
//
// It is a leaf: it imports nothing of this module.
package budget

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Budget is an amount of memory. It is safe for concurrent use.
type Budget struct {
	size int64
	sem  *semaphore.Weighted
}

// New returns a Budget of size bytes.
func New(size int64) *Budget { return &Budget{size: size, sem: semaphore.NewWeighted(size)} }

// Take waits until n bytes are free, in the order of the calls, and returns the function
// that gives them back, which may be called again and is never nil. More than the whole
// Budget is the whole Budget: such a reader is alone. The error is that of ctx.
func (b *Budget) Take(ctx context.Context, n int64) (giveBack func(), err error) {
	n = min(n, b.size)
	if err := b.sem.Acquire(ctx, n); err != nil {
		return func() {}, err
	}
	return sync.OnceFunc(func() { b.sem.Release(n) }), nil
}
