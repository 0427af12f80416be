package retire

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/imagelist/cluster"
	"github.com/nodeseal/nodeseal/internal/slot"
)

// A retirement waits for what may pass: another command, a use that ends, and a cluster that
// was reached before. It does not wait for what lasts.
func TestPasses(t *testing.T) {
	t.Parallel()
	var r Retirement
	away := fmt.Errorf("asking: %w", cluster.ErrUnreachable)
	for _, tc := range []struct {
		err   error
		asked bool
		want  bool
	}{
		{filelock.ErrBusy, false, true},
		{away, false, false},
		{away, true, true},
		{&slot.InUseError{Slot: slot.A}, false, true},
		{errors.New("another"), true, false},
	} {
		r.asked = time.Time{}
		if tc.asked {
			r.asked = time.Unix(1, 0)
		}
		if got := r.passes(tc.err); got != tc.want {
			t.Errorf("%v, asked %t: %t", tc.err, tc.asked, got)
		}
	}
}

// One that waits ends with the context, and says why it ended.
func TestEnds(t *testing.T) {
	t.Parallel()
	why := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	r := Retirement{Wait: true, Node: func() (slot.Node, error) {
		cancel(why)
		return slot.Node{}, filelock.ErrBusy
	}}
	if _, err := r.Run(ctx); !errors.Is(err, why) {
		t.Errorf("a wait that was ended: %v", err)
	}
}
