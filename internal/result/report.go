package result

import (
	"io"

	"github.com/nodeseal/nodeseal/internal/report"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Report is what report prints.
type Report struct {
	// File is the archive; it is left out with --list, which reads and writes nothing.
	File string `json:"file,omitempty"`
	// Size is that of the archive, in bytes.
	Size int64 `json:"size,omitempty"`
	// Members are what it has, in its order.
	Members []report.Member `json:"members"`
	// LeftOut says in words what no report takes.
	LeftOut []string `json:"leftOut"`
}

// NewReportList says what a report of the items would take.
func NewReportList(items []report.Item) Report {
	r := Report{LeftOut: report.LeftOut()}
	for _, item := range items {
		r.Members = append(r.Members, report.Member{Item: item})
	}
	return r
}

// WriteText shows it to people.
func (r Report) WriteText(w io.Writer) error {
	p := &printer{w: w}
	if r.File == "" {
		for _, m := range r.Members {
			p.line("%s: %s", m.Name, m.What)
		}
	}
	taken, missing, redacted := 0, 0, 0
	for _, m := range r.Members {
		redacted += m.Redacted
		switch {
		case m.Problem != "":
			p.line("NOT READ %s: %s", m.Name, m.Problem)
		case m.Missing:
			missing++
		}
		if m.Bytes > 0 {
			taken++
		}
	}
	if r.File != "" {
		p.line("%s: %s, %s, %d redacted, %d not on this node", r.File, ui.Bytes(r.Size), Plural(taken, "member"), redacted, missing)
		p.line("Read it before you pass it on. Its README.txt lists what is in it and what was left out.")
		return p.err
	}
	for _, text := range r.LeftOut {
		p.line("left out: %s", text)
	}
	return p.err
}
