package result

import (
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/page/contents"
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

// WriteHTML writes it as a page with a picture.
func (r Inspect) WriteHTML(w io.Writer, made madeby.Mark) error {
	return contents.Write(w, contents.Subject{Path: r.Bundle, Size: r.Size, Inventory: r.inventory, Made: made})
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
	changed := changes(inv)
	for i := range inv.Images {
		img, u := &inv.Images[i], r.Usage.Images[i]
		p.line(columns, ui.Bytes(u.Bytes), ui.Bytes(u.OwnBytes), strconv.Itoa(len(img.Layers)), imageName(img))
		p.block("  %s", img.Ref)
		if changed != nil {
			p.block("  %s", changed(img))
		}
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

// changes returns what says of an image which of its layers the base has, nil without a base.
func changes(inv *bundle.Inventory) func(img *bundle.Image) string {
	if inv.Base == nil {
		return nil
	}
	sizes, deltas := make(map[digest.Digest]int64), make(map[digest.Digest]digest.Digest)
	for _, b := range inv.Blobs {
		sizes[b.Digest] = b.Size
	}
	for _, d := range inv.Base.Deltas {
		deltas[d.Layer] = d.Delta
	}
	return func(img *bundle.Image) string {
		var fresh, different, equal int
		var freshBytes, deltaBytes int64
		for _, l := range img.Layers {
			blob := inv.LayerBlob(l)
			if img.Artifact {
				blob = l.Digest
			}
			if size, here := sizes[blob]; here {
				fresh, freshBytes = fresh+1, freshBytes+size
			} else if d, ok := deltas[blob]; ok {
				different, deltaBytes = different+1, deltaBytes+sizes[d]
			} else {
				equal++
			}
		}
		return fmt.Sprintf("layers: %d new (%s), %d different (deltas of %s), %d equal to the base's", fresh, ui.Bytes(freshBytes), different, ui.Bytes(deltaBytes), equal)
	}
}
