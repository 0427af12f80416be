package result

import (
	"io"

	"github.com/nodeseal/nodeseal/internal/mirror/workdir"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Clean is what clean prints.
type Clean struct {
	Removed []string `json:"removed"`
}

// WriteText shows it to people.
func (r Clean) WriteText(w io.Writer) error {
	p := &printer{w: w}
	for _, path := range r.Removed {
		p.line("removed %s", path)
	}
	if len(r.Removed) == 0 {
		p.line("OK: nothing was left")
	}
	return p.err
}

// CleanWork is what clean --work prints. Sizes are in bytes.
type CleanWork struct {
	Work   string `json:"work"`
	DryRun bool   `json:"dryRun"`
	*workdir.Cleaned
}

// WriteText shows it to people.
func (r CleanWork) WriteText(w io.Writer) error {
	p := &printer{w: w}
	verb := "removed"
	if r.DryRun {
		verb = "would remove"
	}
	p.line("%s: %s %s, %s; %s stay", r.Work, verb, Plural(r.Files, "file"), ui.Bytes(r.Bytes), ui.Bytes(r.Kept))
	for _, d := range r.Unknown {
		p.line("not there: %s", d)
	}
	return p.err
}
