package diskbudget_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/diskbudget"
)

func TestOf(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	for name, tt := range map[string]struct {
		disk, need, limit int64
	}{
		"kubelet's threshold counts":      {200 * gib, 70 * gib, 200 * gib / 100 * 85},
		"what must stay free counts":      {100 * gib, 70 * gib, 84 * gib},
		"it fits to the byte":             {100 * gib, 84 * gib, 84 * gib},
		"one byte too much":               {100 * gib, 84*gib + 1, 84 * gib},
		"smaller than what must be free":  {10 * gib, 1, 0},
		"nothing is needed of a tiny one": {10 * gib, 0, 0},
	} {
		b := diskbudget.Of(tt.disk, diskbudget.Item{What: "slots", Bytes: tt.need}, diskbudget.Item{What: "none"})
		if b.Limit != tt.limit || b.Needed != tt.need || b.Left != tt.limit-tt.need {
			t.Errorf("%s: %+v, want the limit %d", name, b, tt.limit)
		}
		if err := b.Check(); errors.Is(err, diskbudget.ErrTooSmall) != (tt.need > tt.limit) {
			t.Errorf("%s: %v", name, err)
		}
		var out strings.Builder
		b.Lines(func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }, func(n int64) string { return fmt.Sprint(n) })
		if strings.Contains(out.String(), "TOO LITTLE") != (tt.need > tt.limit) || strings.Contains(out.String(), "none") {
			t.Errorf("%s: %s", name, out.String())
		}
	}
	if err := (*diskbudget.Budget)(nil).Check(); err != nil {
		t.Error(err)
	}
}
