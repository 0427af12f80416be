package result

import (
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Mirrored is what bundle prints. Sizes are in bytes.
type Mirrored struct {
	Output string        `json:"output"`
	Size   int64         `json:"size"`
	SHA256 digest.Digest `json:"sha256"`
	Images int           `json:"images"`
	// Artifacts are those of the images that are OCI artifacts and no container images.
	Artifacts  int           `json:"artifacts,omitempty"`
	Downloaded int64         `json:"downloaded"`
	Reused     int64         `json:"reused"`
	Work       string        `json:"work"`
	Signature  string        `json:"signature,omitempty"`
	Attached   *Attached     `json:"attached,omitempty"`
	Originals  *Originals    `json:"originals,omitempty"`
	Base       *Base         `json:"base,omitempty"`
	Failed     []FailedImage `json:"failed"`
}

// NewMirrored describes what a run of the engine did.
func NewMirrored(o mirror.Options, res *mirror.Result) Mirrored {
	return Mirrored{
		Output: o.Output, Size: res.Size, SHA256: res.SHA256, Work: o.Work,
		Images: len(res.Inventory.Images), Artifacts: artifacts(res.Inventory), Downloaded: res.Downloaded, Reused: res.Reused,
		Attached: NewAttached(o, res.Attached), Originals: NewOriginals(res.Inventory), Base: NewBase(res.Inventory), Failed: NewFailed(res.Failed),
	}
}

// artifacts counts the OCI artifacts of an inventory.
func artifacts(inv *bundle.Inventory) (n int) {
	for i := range inv.Images {
		if inv.Images[i].Artifact {
			n++
		}
	}
	return n
}

// WriteText shows it to people.
func (r Mirrored) WriteText(w io.Writer) error {
	p := &printer{w: w}
	p.line("%s: %s, %s, %s", r.Output, ui.Bytes(r.Size), Plural(r.Images, "image"), r.SHA256)
	p.line("downloaded %s, reused %s; %s keeps the layers for the next bundle", ui.Bytes(r.Downloaded), ui.Bytes(r.Reused), r.Work)
	if r.Artifacts > 0 {
		p.line("%d of the images are OCI artifacts", r.Artifacts)
	}
	r.Attached.Line(p.line, r.Images)
	r.Originals.Line(p.line)
	r.Base.Line(p.line)
	if r.Signature != "" {
		p.line("signed: %s", r.Signature)
	}
	for _, f := range r.Failed {
		p.line("NOT in the bundle: %s: %s", f.Ref, f.Error)
	}
	return p.err
}
