package result

import (
	"io"

	"github.com/nodeseal/nodeseal/internal/slot"
)

// Retire is what retire prints.
type Retire struct {
	Slot slot.Name `json:"slot"`
	Path string    `json:"path"`
	// Release and Images are what the slot held.
	Release string `json:"release"`
	Images  int    `json:"images"`
	// Already says that it was empty before.
	Already bool `json:"already,omitempty"`
	// Readers counts running containers that read layers of the old store which
	// the other slot has too: its files are kept, out of sight, until they end.
	Readers int `json:"readers,omitempty"`
}

// WriteText shows it to people.
func (r Retire) WriteText(w io.Writer) error {
	p := &printer{w: w}
	if r.Already {
		p.line("OK: nothing to do: slot %s is empty (%s)", r.Slot, r.Path)
	} else {
		p.line("OK: slot %s is empty; it held %s", r.Slot, r.Release)
	}
	if r.Readers > 0 {
		p.line("%s still read layers that both slots had; the old files are removed by the next command after they end",
			Plural(r.Readers, "running container"))
	}
	return p.err
}
