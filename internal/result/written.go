package result

import (
	"io"
	"path/filepath"
)

// Written says which files were written.
type Written struct {
	Dir   string   `json:"dir"`
	Files []string `json:"files"`
	// Review are files to read that hold what is in Files, not to be applied.
	Review []string `json:"review,omitempty"`
	// Left are numbered files in Dir, and files to review, that an earlier run wrote and this one did not.
	Left []string `json:"left,omitempty"`
}

// WriteText shows it to people.
func (w Written) WriteText(out io.Writer) error {
	p := &printer{w: out}
	for _, name := range w.Files {
		p.line("%s", filepath.Join(w.Dir, name))
	}
	if len(w.Review) > 0 {
		p.line("%s: %s as the nodes get them, to review; not to be applied", filepath.Join(w.Dir, "review"), Plural(len(w.Review), "file"))
	}
	writeLeft(p, w.Dir, w.Left)
	return p.err
}

// writeLeft says which files in dir are of an earlier run.
func writeLeft(p *printer, dir string, names []string) {
	for _, name := range names {
		p.line("%s: of an earlier run, NOT part of this one: remove it, or do not apply it", filepath.Join(dir, name))
	}
}
