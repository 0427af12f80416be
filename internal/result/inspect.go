package result

import (
	"encoding/json"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
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
	p.block("%s: %s, layers %s", r.Bundle, ui.Bytes(r.Size), inv.Layers)
	if rel := inv.Release; rel != nil {
		p.block("release %s %s", rel.Version, rel.Image)
	}
	p.block("%s, %s, %s of layers, %s of them shared", Plural(len(inv.Images), "image"), Plural(r.Usage.Layers, "layer"),
		ui.Bytes(r.Usage.LayerBytes), ui.Bytes(r.Usage.SharedBytes))
	r.Attached.Line(p.block, len(inv.Images))
	r.Originals.Line(p.block)
	r.Base.Line(p.block)
	p.line("")
	const columns = "%10s %10s %7s  %s"
	p.line(columns, "SIZE", "OWN", "LAYERS", "IMAGE")
	for i := range inv.Images {
		img, u := &inv.Images[i], r.Usage.Images[i]
		p.line(columns, ui.Bytes(u.Bytes), ui.Bytes(u.OwnBytes), strconv.Itoa(len(img.Layers)), imageName(img))
		p.block("  %s", img.Ref)
		if img.Original {
			p.block("  kept as a registry has it")
		}
		if img.Artifact {
			p.block("  an OCI artifact")
		}
		for _, name := range img.Names {
			p.block("  also %s", name)
		}
		if len(img.Attachments) > 0 {
			p.block("  with %s", attachmentCounts(img.Attachments))
		}
	}
	return p.err
}

// imageName is the name that people know an image by: the component of a release, else the
// last part of the repository.
func imageName(img *bundle.Image) string {
	if c := imagelist.Component(img.From); c != "" {
		return c
	}
	name, _, _ := strings.Cut(path.Base(img.Ref), "@")
	return name
}
