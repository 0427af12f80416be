package result

import (
	"io"

	"github.com/nodeseal/nodeseal/internal/imagelist"
)

// List is what list prints.
type List struct {
	imagelist.Document

	// Output is the file to which it was written, "" for none.
	Output string `json:"-"`
}

// WriteText shows it to people.
func (r List) WriteText(w io.Writer) error {
	if r.Output == "" {
		return r.WritePlain(w)
	}
	p := &printer{w: w}
	resolved := len(r.Images) - len(r.Unresolved)
	p.line("%s: %s", r.Output, Plural(resolved, "image"))
	return p.err
}

// Change is what list --diff prints.
type Change struct{ imagelist.Change }

// WriteText shows it to people.
func (r Change) WriteText(w io.Writer) error {
	p := &printer{w: w}
	for _, e := range r.Added {
		p.line("+ %s", e.Ref)
	}
	for _, e := range r.Removed {
		p.line("- %s", e.Ref)
	}
	return p.err
}
