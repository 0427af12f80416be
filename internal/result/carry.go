package result

import (
	"io"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/carry"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Carry is what carry prints.
type Carry struct {
	*carry.Result
	// Left are numbered files in config that an earlier run wrote and this one did not.
	Left []string `json:"left,omitempty"`
}

// WriteText shows it to people.
func (r Carry) WriteText(w io.Writer) error {
	p := &printer{w: w}
	in := "one file"
	if r.Parts > 0 {
		in = Plural(r.Parts, "part")
	}
	p.line("OK: %s holds %s, %s in %s, %s, all read back", r.Dir, r.Bundle, ui.Bytes(r.Size), in, Plural(r.Images, "image"))
	if r.Base != "" {
		p.line("a node needs its base, too: %s", r.Base)
	}
	writeLeft(p, filepath.Join(r.Dir, "config"), r.Left)
	if r.ProgramSigned {
		p.line("the program is signed; its sha256: %s", r.ProgramSHA256)
	} else {
		p.line("the program is not signed; its sha256, to compare on the node: %s", r.ProgramSHA256)
	}
	for _, key := range r.Keys {
		p.line("the key that nodes must have: %s", key)
	}
	p.line("on a node: sh install.sh, then nodeseal import-stick DIR; %s shows it in pictures", carry.PageFile)
	return p.err
}
