package nodestatus

import (
	"testing"

	"github.com/nodeseal/nodeseal/internal/fips"
)

// TestFIPS: status says nothing of FIPS elsewhere than on a node in that mode, and warns if the
// program does not follow.
func TestFIPS(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		state           fips.State
		otherDisk       bool
		shown, warnings int
	}{
		"not in FIPS mode":     {state: fips.State{Program: true}},
		"both":                 {state: fips.State{Node: true, Program: true}, shown: 1},
		"the node only":        {state: fips.State{Node: true}, shown: 1, warnings: 1},
		"another machine's":    {state: fips.State{Node: true}, otherDisk: true},
		"neither is in a mode": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &collector{out: &Status{}, opts: Options{FIPS: test.state, OtherDisk: test.otherDisk}}
			c.fips()
			shown := 0
			if c.out.FIPS != nil {
				shown = 1
			}
			if shown != test.shown || len(c.out.Warnings) != test.warnings {
				t.Errorf("shown %d, warnings %v", shown, c.out.Warnings)
			}
		})
	}
}
