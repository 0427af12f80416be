package result

import (
	"io"

	"github.com/nodeseal/nodeseal/internal/dryrun"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Would is what a command with --dry-run prints.
type Would struct {
	DryRun bool `json:"dryRun"`
	dryrun.Plan
}

// NewWould describes a plan.
func NewWould(p *dryrun.Plan) Would {
	out := Would{DryRun: true, Plan: *p}
	out.Steps = append([]dryrun.Step{}, p.Steps...) // a list in JSON, also where it is empty
	return out
}

// WriteText shows it to people.
func (r Would) WriteText(w io.Writer) error {
	p := &printer{w: w}
	for _, s := range r.Steps {
		if s.Bytes > 0 {
			p.line("would %s %s, %s", s.Do, s.What, ui.Bytes(s.Bytes))
		} else {
			p.line("would %s %s", s.Do, s.What)
		}
	}
	for _, n := range r.Notes {
		p.line("%s", n)
	}
	if len(r.Steps) == 0 {
		p.line("OK: nothing to do")
	} else {
		p.line("a dry run: nothing was changed")
	}
	return p.err
}
