package result

import (
	"io"
	"time"

	"github.com/opencontainers/go-digest"
)

// Stick is what import-stick prints, and adds to the result on the stick.
type Stick struct {
	Node string `json:"node"`
	// Time is when it ended, Seconds how long it took, Program which nodeseal it was.
	Time    time.Time `json:"time"`
	Seconds int64     `json:"seconds"`
	Program string    `json:"program"`
	// Installed is the node's own program if that was too old for the bundle, and Program,
	// which is the stick's, took over. Install is the command that installs Program.
	Installed string `json:"installed,omitempty"`
	Install   string `json:"install,omitempty"`
	// Bundle is "" where there was none. Release and Inventory, the digest of its
	// inventory, are "" if they are not known.
	Bundle    string        `json:"bundle,omitempty"`
	Release   string        `json:"release,omitempty"`
	Inventory digest.Digest `json:"inventory,omitempty"`
	Import    *Import       `json:"import,omitempty"`
	Error     string        `json:"error,omitempty"`
	// Next is what to do after an error.
	Next string `json:"next,omitempty"`
}

// WriteText shows it to people.
func (r Stick) WriteText(w io.Writer) error {
	p := &printer{w: w}
	p.line("%s, %d s, nodeseal %s", r.Time.UTC().Format(time.RFC3339), r.Seconds, r.Program)
	if r.Bundle != "" {
		about := ""
		if r.Release != "" {
			about += ", release " + r.Release
		}
		if r.Inventory != "" {
			about += ", " + r.Inventory.String()
		}
		p.line("node %s: bundle %s%s", r.Node, r.Bundle, about)
	}
	if r.Installed != "" {
		p.line("node %s: nodeseal %s, which is installed, is too old for this bundle: %s of the stick took over", r.Node, r.Installed, r.Program)
		p.line("  -> install it, so that the node's other commands know such bundles too: %s", r.Install)
	}
	switch {
	case r.Error != "":
		p.line("node %s: FAILED: %s", r.Node, r.Error)
		if r.Next != "" {
			p.line("  -> %s", r.Next)
		}
		p.line("STOP: report this with the file result-%s.txt", r.Node)
	case p.err == nil:
		p.err = r.Import.WriteText(w)
	}
	return p.err
}
