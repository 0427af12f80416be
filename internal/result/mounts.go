package result

import (
	"io"
)

// Mounts is what mount and umount print.
type Mounts struct {
	Mounted bool     `json:"mounted"`
	Slots   []string `json:"slots"`
}

// WriteText shows it to people.
func (r Mounts) WriteText(w io.Writer) error {
	p := &printer{w: w}
	for _, s := range r.Slots {
		if r.Mounted {
			p.line("%s: mounted read-only", s)
		} else {
			p.line("%s: not mounted", s)
		}
	}
	return p.err
}
