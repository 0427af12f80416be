package budget

import (
	"context"
	"errors"
	"testing"
)

func TestTurns(t *testing.T) {
	t.Parallel()
	turns := NewTurns(100)
	ended, end := context.WithCancel(t.Context())
	end()
	first, small, second := turns.Begin(t.Context()), turns.Begin(ended), turns.Begin(ended)
	hold := func(w *Work, n int64, want error) {
		t.Helper()
		if err := w.Hold(n); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", n, err, want)
		}
	}
	hold(first, 100, nil)
	hold(first, 101, nil)
	hold(first, 1000, nil) // it has its turn
	hold(small, 100, nil)  // it needs none
	hold(second, 101, context.Canceled)
	second.Done() // it has nothing to give back
	hold(turns.Begin(ended), 101, context.Canceled)
	first.Done()
	first.Done()
	third := turns.Begin(t.Context())
	hold(third, 101, nil)
	third.Done()
	var none *Work
	hold(none, 1000, nil)
	none.Done()
}

// A work whose turn it is not waits until the one before has ended.
func TestTurnsWait(t *testing.T) {
	t.Parallel()
	turns := NewTurns(0)
	first := turns.Begin(t.Context())
	if err := first.Hold(1); err != nil {
		t.Fatal(err)
	}
	over := false
	done := make(chan error)
	go func() {
		second := turns.Begin(t.Context())
		err := second.Hold(1)
		if !over {
			err = errors.New("two at once")
		}
		second.Done()
		done <- err
	}()
	over = true
	first.Done()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
