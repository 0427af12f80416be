package dir

import (
	"errors"
	"testing"
)

// TestLabelOfPolicy: a label is set only if the policy knows it.
func TestLabelOfPolicy(t *testing.T) {
	t.Parallel()
	unknown := func(string) error { return errors.New("invalid argument") }
	known := func(string) error { return nil }
	for _, tt := range []struct {
		name    string
		enabled bool
		check   func(string) error
		want    string
	}{
		{"off", false, known, ""},
		{"policy without containers", true, unknown, ""},
		{"policy with containers", true, known, containerLabel},
	} {
		if got := labellerOf(tt.enabled, tt.check).label; got != tt.want {
			t.Errorf("%s: label %q, want %q", tt.name, got, tt.want)
		}
	}
}
