package result

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/nodeseal/nodeseal/internal/rehearse"
)

// RehearsalPlan is what rehearse --dry-run prints.
type RehearsalPlan struct{ *rehearse.Plan }

// WriteText shows it to people.
func (r RehearsalPlan) WriteText(w io.Writer) error {
	p := &printer{w: w}
	p.plan(r.Plan)
	p.line("")
	for line := range strings.Lines(r.Rules) {
		p.line("%s", strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", "  "))
	}
	p.line("a dry run: nothing was changed")
	return p.err
}

// Announce returns a function that shows a plan before anything is cut, unless quiet.
func Announce(w io.Writer, quiet bool) func(*rehearse.Plan) error {
	return func(plan *rehearse.Plan) error {
		p := &printer{w: w}
		if !quiet {
			p.plan(plan)
			p.line("nodeseal rehearse --stop ends it")
		}
		return p.err
	}
}

func (p *printer) plan(plan *rehearse.Plan) {
	p.line("cut for %s: %s", Plural(plan.Minutes, "minute"), strings.Join(plan.Units, ", "))
	p.allowed(plan.Allow)
	for _, note := range plan.Notes {
		p.block("note: %s", note)
	}
	if plan.Then != "" {
		p.line("then: systemctl %s", plan.Then)
	}
}

func (p *printer) allowed(allow []rehearse.Allowed) {
	p.line("still reachable: loopback, the node's own addresses")
	for _, a := range allow {
		p.line("  %s (%s)", address(a), a.Source)
	}
}

func address(a rehearse.Allowed) string {
	text := a.Address.String()
	if a.Address.IsSingleIP() {
		text = a.Address.Addr().String()
	}
	switch {
	case a.Port == 0:
		return text
	case a.Address.Addr().Is6():
		return fmt.Sprintf("[%s]:%d", text, a.Port)
	}
	return fmt.Sprintf("%s:%d", text, a.Port)
}

// Rehearsal is what rehearse, rehearse --report and rehearse --stop print.
type Rehearsal struct{ *rehearse.Report }

// WriteText shows it to people.
func (r Rehearsal) WriteText(w io.Writer) error {
	p := &printer{w: w}
	ended := "now"
	if !r.Ended.IsZero() {
		ended = r.Ended.Format(time.RFC3339)
	}
	p.line("rehearsal on %s: %s", r.Node, r.State)
	p.line("from %s to %s, %s planned, %s", r.Started.Format(time.RFC3339), ended, Plural(r.Minutes, "minute"), Plural(r.Boots, "boot"))
	p.line("cut: %s", strings.Join(r.Units, ", "))
	p.allowed(r.Allow)
	for _, x := range r.Reached {
		if x.Address == "" {
			p.line("%s tried protocols other than TCP and UDP %s", x.Unit, times(x.Attempts))
		} else {
			p.line("%s tried to reach %s (%s) %s", x.Unit, net.JoinHostPort(x.Address, strconv.Itoa(x.Port)), x.Protocol, times(x.Attempts))
		}
	}
	for _, i := range r.Images {
		if i.Got < i.Asked {
			p.line("MISSING %s: %s asked for it %s, and got it %s", i.Image, i.Unit, times(int64(i.Asked)), times(int64(i.Got)))
		} else {
			p.line("%s: %s asked for it %s, and got it", i.Image, i.Unit, times(int64(i.Asked)))
		}
	}
	if len(r.Images) == 0 {
		p.line("no image was asked for")
	}
	for _, problem := range r.Problems {
		p.block("PROBLEM: %s", problem)
	}
	switch {
	case r.Passed:
		p.line("PASSED: nothing outside was needed")
	case r.Outside():
		p.line("FAILED: the node needs something that was cut off")
	case r.State == rehearse.Rebooting:
		p.line("the node restarts: nodeseal rehearse --report has the rest then")
	case r.State == rehearse.Running:
		p.line("so far nothing outside was needed")
	}
	return p.err
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
