package result

import (
	"io"

	"github.com/nodeseal/nodeseal/internal/seal"
)

// Seal is what seal and unseal print.
type Seal struct{ seal.Report }

// WriteText shows it to people.
func (r Seal) WriteText(w io.Writer) error {
	p := &printer{w: w}
	state := "not sealed"
	switch {
	case r.Sealed():
		state = "sealed"
	case r.FlagsSet():
		state = "immutable, not mounted read-only"
	case r.Immutable > 0 || r.Mounted:
		state = "sealed in part"
	}
	p.line("%s: %s (%d of %d immutable, %s)", r.Dir, state, r.Immutable, r.Targets, r.FSType)
	for _, n := range r.Notes {
		p.line("  %s", n)
	}
	return p.err
}
