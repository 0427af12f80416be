package result

import (
	"io"
)

// Stick is what import-stick prints, and leaves on the stick.
type Stick struct {
	Node string `json:"node"`
	// Bundle is "" where there was none.
	Bundle string  `json:"bundle,omitempty"`
	Import *Import `json:"import,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// WriteText shows it to people.
func (r Stick) WriteText(w io.Writer) error {
	p := &printer{w: w}
	switch {
	case r.Error != "":
		p.line("node %s: FAILED: %s", r.Node, r.Error)
	case r.Bundle == "":
		p.line("node %s: nothing to do: no bundle on the stick", r.Node)
	default:
		p.line("node %s: bundle %s", r.Node, r.Bundle)
		if p.err == nil {
			p.err = r.Import.WriteText(w)
		}
	}
	return p.err
}
