package result

import (
	"encoding/json"
	"io"
	"text/tabwriter"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Inspect is what inspect prints. Sizes are in bytes.
type Inspect struct {
	Bundle    string          `json:"bundle"`
	Size      int64           `json:"size"`
	Usage     bundle.Usage    `json:"usage"`
	Base      *Base           `json:"base,omitempty"`
	Attached  *Attached       `json:"attached,omitempty"`
	Originals *Originals      `json:"originals,omitempty"`
	Inventory json.RawMessage `json:"inventory"`

	inventory *bundle.Inventory
}

// NewInspect describes the bundle or store at path of size bytes. inv is what it has,
// with the blobs of its layers, and raw the bytes of its inventory.json.
func NewInspect(path string, size int64, inv *bundle.Inventory, attached *Attached, raw []byte) Inspect {
	return Inspect{
		Bundle: path, Size: size, Usage: inv.Whole().Usage(), Base: NewBase(inv), Attached: attached, Originals: NewOriginals(inv), inventory: inv, Inventory: raw,
	}
}

// WriteText shows it to people.
func (r Inspect) WriteText(w io.Writer) error {
	p := &printer{w: w}
	inv := r.inventory
	p.line("%s: %s, layers %s", r.Bundle, ui.Bytes(r.Size), inv.Layers)
	if rel := inv.Release; rel != nil {
		p.line("release %s %s", rel.Version, rel.Image)
	}
	p.line("%s, %s, %s of layers, %s of them shared", Plural(len(inv.Images), "image"), Plural(r.Usage.Layers, "layer"),
		ui.Bytes(r.Usage.LayerBytes), ui.Bytes(r.Usage.SharedBytes))
	r.Attached.Line(p.line, len(inv.Images))
	r.Originals.Line(p.line)
	r.Base.Line(p.line)
	p.line("")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	pt := &printer{w: t, err: p.err}
	pt.line("SIZE\tOWN\tLAYERS\t  IMAGE")
	for i, img := range inv.Images {
		u := r.Usage.Images[i]
		pt.line("%s\t%s\t%d\t  %s", ui.Bytes(u.Bytes), ui.Bytes(u.OwnBytes), len(img.Layers), img.Ref)
		if img.Original {
			pt.line("\t\t\t    kept as a registry has it")
		}
		for _, name := range img.Names {
			pt.line("\t\t\t    also %s", name)
		}
		if len(img.Attachments) > 0 {
			pt.line("\t\t\t    with %s", attachmentCounts(img.Attachments))
		}
	}
	if pt.err == nil {
		pt.err = t.Flush()
	}
	return pt.err
}
