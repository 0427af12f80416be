package result

import (
	"io"

	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/parts"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Parts is what split and join print.
type Parts struct {
	*parts.Result
}

// WriteText shows it to people.
func (r Parts) WriteText(w io.Writer) error {
	p := &printer{w: w}
	if r.Result.Parts > 0 {
		p.line("OK: %s in %s: %s and on, with %s", ui.Bytes(r.Size), Plural(r.Result.Parts, "part"), split.PartName(r.Path, 0), r.Path+split.Suffix)
	} else {
		p.line("OK: %s: %s, %s, as the list of its parts says", r.Path, ui.Bytes(r.Size), r.SHA256)
	}
	if r.Signature != "" {
		p.line("signed: %s", r.Signature)
	}
	return p.err
}
