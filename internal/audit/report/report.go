// Package report shows the findings of an audit: as text, as JSON, and as one
// HTML page for the hand-over folder, which needs nothing but itself.
package report

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/nodeseal/nodeseal/internal/audit"
	"github.com/nodeseal/nodeseal/internal/page"
	"github.com/nodeseal/nodeseal/internal/visible"
)

// JSON writes the report as indented JSON with a final newline.
func JSON(w io.Writer, r audit.Report) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	if r.Findings == nil {
		r.Findings = []audit.Finding{}
	}
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("writing report: %w", err)
	}
	return nil
}

// Text writes the report for people: the findings, each with why and how to
// mend it, then the problems, then one line that counts.
func Text(w io.Writer, r audit.Report) error {
	var b strings.Builder
	for _, f := range r.Findings {
		visible.Fprintf(&b, "%-8s %s  [%s]\n", strings.ToUpper(string(f.Severity)), f.Object, f.Rule)
		visible.Fprintf(&b, "         %s\n", f.What)
		visible.Fprintf(&b, "         why:  %s\n", f.Why)
		visible.Fprintf(&b, "         mend: %s\n", f.Mend)
		if f.Patch != "" {
			visible.Fprintf(&b, "         $ %s\n", f.Patch)
		}
		b.WriteByte('\n')
	}
	for _, p := range r.Problems {
		visible.Fprintf(&b, "NOT READ %s\n", p)
	}
	if len(r.Problems) > 0 {
		b.WriteByte('\n')
	}
	if r.Made != nil {
		visible.Fprintf(&b, "%s\n", r.Made)
	}
	b.WriteString(verdict(r) + "\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing report: %w", err)
	}
	return nil
}

// verdict is the report in one sentence.
func verdict(r audit.Report) string {
	breaks, warnings, notes := r.Count(audit.Breaks), r.Count(audit.Warning), r.Count(audit.Note)
	tail := fmt.Sprintf("%s, %s.", count(warnings, "warning"), count(notes, "note"))
	if breaks > 0 {
		return count(breaks, "finding") + " would break a reboot with no registry; " + tail
	}
	if len(r.Problems) > 0 {
		return "No finding would break a reboot, but not everything could be read; " + tail
	}
	return "No finding would break a reboot with no registry; " + tail
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

//go:embed body.html
var body string

//go:embed page.css
var style string

// view is what the page shows.
type view struct {
	audit.Report
	Verdict                 string
	Breaks, Warnings, Notes int
}

// HTML writes the page. It loads nothing and runs no script: it can be read from
// a stick, printed, and sent.
func HTML(w io.Writer, r audit.Report) error {
	v := view{r, verdict(r), r.Count(audit.Breaks), r.Count(audit.Warning), r.Count(audit.Note)}
	title := "nodeseal audit"
	if r.Cluster.Version != "" {
		title += " of OpenShift " + r.Cluster.Version
	}
	p := page.Page{Title: title, Style: style, Body: body, Funcs: template.FuncMap{"join": strings.Join}}
	return p.Write(w, v)
}
