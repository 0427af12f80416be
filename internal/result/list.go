package result

import (
	"fmt"
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
	p.line("%s: %s", r.Output, r.Count())
	return p.err
}

// Count says how many of the references have a digest.
func (r List) Count() string {
	if n := len(r.Unresolved); n > 0 {
		return fmt.Sprintf("%d of %s; %d could not be resolved", len(r.Images)-n, Plural(len(r.Images), "image"), n)
	}
	return Plural(len(r.Images), "image")
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
