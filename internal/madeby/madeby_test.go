package madeby

import (
	"testing"
	"time"
)

func TestMark(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 11, 22, 33, 44, time.FixedZone("CET", 3600))
	for epoch, want := range map[string]string{
		"":   "made 2026-03-01 10:22 UTC by nodeseal v1 from list a, bundle b",
		"60": "made 1970-01-01 00:01 UTC by nodeseal v1 from list a, bundle b",
		"-1": "made 2026-03-01 10:22 UTC by nodeseal v1 from list a, bundle b",
		"x":  "made 2026-03-01 10:22 UTC by nodeseal v1 from list a, bundle b",
	} {
		if got := New(epoch, now, "v1", "list a", "bundle b").String(); got != want {
			t.Errorf("%q: %s, want %s", epoch, got, want)
		}
	}
	if got := (Mark{}).String(); got != "" {
		t.Errorf("nothing says %q", got)
	}
}
