package mirror

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/nodeseal/nodeseal/internal/pull"
)

// twice calls do for each of n items, at once: do takes one of r.slots while it
// works. An item
// whose failure may pass is done once more when all others are through: what
// was overloaded for minutes may answer at the end of hours. What finally
// became of an item goes to done, whose error ends everything at once; so does
// the end of ctx.
func (r *run) twice(ctx context.Context, n int, do func(ctx context.Context, i int) error, done func(ctx context.Context, i int, err error) error) error {
	items := make([]int, n)
	for i := range items {
		items[i] = i
	}
	for last := false; len(items) > 0; last = true {
		var mu sync.Mutex
		var later []int
		group, gctx := errgroup.WithContext(ctx)
		group.SetLimit(2 * cap(r.slots))
		for _, i := range items {
			if gctx.Err() != nil {
				break
			}
			group.Go(func() error {
				err := do(gctx, i)
				if !last && gctx.Err() == nil && temporary(err) {
					r.o.Log.Info("put off to the end", "reason", err)
					mu.Lock()
					defer mu.Unlock()
					later = append(later, i)
					return nil
				}
				return done(gctx, i, err)
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		slices.Sort(later)
		items = later
	}
	return nil
}

// temporary reports whether what failed with err may succeed at another time.
func temporary(err error) bool {
	var e interface{ Temporary() bool }
	return errors.As(err, &e) && e.Temporary() || errors.Is(err, pull.ErrStalled)
}
