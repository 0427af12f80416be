package budget

import "context"

// Turns bounds the memory of work of which it is not known beforehand how much it will
// need: each may hold some, and one at a time more than that. It is safe for concurrent use.
type Turns struct {
	small int64
	large *Budget
}

// NewTurns returns Turns with which each work may hold small bytes without a turn.
func NewTurns(small int64) *Turns { return &Turns{small: small, large: New(1)} }

// Begin begins a work, which ends with Done, or when ctx ends. The rule for it: from its
// first call of Hold on it waits for no other work and takes from no Budget, as others may
// wait for its end.
func (t *Turns) Begin(ctx context.Context) *Work { return &Work{ctx: ctx, turns: t} }

// Work is one of Turns. It is for one goroutine. A nil *Work is not bounded.
type Work struct {
	ctx      context.Context //nolint:containedctx // the work is no longer than it
	turns    *Turns
	giveBack func()
}

// Hold is called before the work holds n bytes. If those are more than it may hold without
// a turn, it waits for one, once. The error is that of the context.
func (w *Work) Hold(n int64) (err error) {
	if w == nil || w.giveBack != nil || n <= w.turns.small {
		return nil
	}
	w.giveBack, err = w.turns.large.Take(w.ctx, 1)
	if err != nil {
		w.giveBack = nil
	}
	return err
}

// Done ends the work: it holds nothing any more. It may be called again, and on nil.
func (w *Work) Done() {
	if w != nil && w.giveBack != nil {
		w.giveBack()
	}
}
