package result

import (
	"io"
	"os"

	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/slot"
)

// Reseal is what reseal prints.
type Reseal struct {
	Import
	// Other is the slot that was left alone, OtherRelease what it holds, and
	// OnlyThere the references that the new store has not.
	Other        slot.Name `json:"other"`
	OtherRelease string    `json:"otherRelease"`
	OnlyThere    []string  `json:"onlyThere"`
	// Restarted are the services that were restarted.
	Restarted []string `json:"restarted,omitempty"`

	takenFrom, extractedFrom, rootFlag string // for people
}

// NewReseal describes an import into a slot of root, and what the other one still holds.
func NewReseal(imported Import, root *slot.Root) (*Reseal, error) {
	n := imported.Slot.Other()
	other, err := root.Read(n)
	if err != nil {
		return nil, err
	}
	r := &Reseal{Import: imported, Other: n, OtherRelease: other.Release(), takenFrom: "slot " + string(n), extractedFrom: "the bundle", rootFlag: slot.RootFlag(root.Dir())}
	for _, b := range r.Base {
		switch info, err := os.Stat(b); {
		case err == nil && !info.IsDir() && !install.IsImage(b):
			r.extractedFrom += " and " + b
		case b != other.Path:
			r.takenFrom += ", " + b
		}
	}
	r.OnlyThere, err = root.Held(other)
	return r, err
}

// WriteText shows it to people.
func (r Reseal) WriteText(w io.Writer) error {
	p := &printer{w: w}
	r.write(p)
	if r.Taken > 0 {
		p.line("%s taken from %s and verified, %d extracted from %s", Plural(r.Taken, "layer"), r.takenFrom, r.Extracted, r.extractedFrom)
	}
	switch {
	case r.OtherRelease == "nothing":
		p.line("slot %s is empty", r.Other)
	case len(r.OnlyThere) == 0:
		p.line("slot %s holds %s, and no reference that the new store lacks", r.Other, r.OtherRelease)
	default:
		p.line("slot %s still holds %s, with %s that only it has; nodeseal retire %s%s empties it when nothing needs it any more",
			r.Other, r.OtherRelease, Plural(len(r.OnlyThere), "reference"), r.Other, r.rootFlag)
	}
	if len(r.Restarted) > 0 {
		p.line("restarted CRI-O, and kubelet with it; containers go on")
	}
	if r.Next != "" {
		p.line("%s", r.Next)
	}
	return p.err
}
