package budget

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// No more is taken at the same time than there is, and all who ask get it.
func TestTake(t *testing.T) {
	t.Parallel()
	const size = 100
	b := New(size)
	var taken, most atomic.Int64
	var all sync.WaitGroup
	for i := range 200 {
		n := int64(i % 60)
		all.Go(func() {
			giveBack, err := b.Take(t.Context(), n)
			if err != nil {
				t.Error(err)
				return
			}
			now := taken.Add(n)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			taken.Add(-n)
			giveBack()
			giveBack()
		})
	}
	all.Wait()
	if most.Load() > size {
		t.Errorf("%d taken at the same time, at most %d", most.Load(), size)
	}
}

// More than there is, is all that there is; who waits ends with its context.
func TestTooMuch(t *testing.T) {
	t.Parallel()
	b := New(10)
	giveBack, err := b.Take(t.Context(), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	none, err := b.Take(ctx, 1)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a second reader: %v", err)
	}
	none()
	giveBack()
	if _, err := b.Take(t.Context(), 10); err != nil {
		t.Error(err)
	}
}
