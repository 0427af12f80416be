package result

import (
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Bundle is what verify prints. Sizes are in bytes of the unpacked tar.
type Bundle struct {
	Bundle string   `json:"bundle"`
	OK     bool     `json:"ok"`
	Images int      `json:"images"`
	Blobs  int      `json:"blobs"`
	Bytes  int64    `json:"bytes"`
	Damage []Damage `json:"damage"`
	// Signed says that the signature is that of --key, or of a key of the node.
	Signed bool `json:"signed,omitempty"`
	// Parts are the parts that are not what the list of parts says.
	Parts []Part `json:"parts,omitempty"`
	// Refused are the layers that are whole, but that no node would take.
	Refused []Refused `json:"refused,omitempty"`
	// Hurt are the images that the damage hurts.
	Hurt []string `json:"hurt"`
	// Missing are the references of --images that the bundle does not hold.
	Missing []string `json:"missing,omitempty"`
	// Base is what the bundle leaves to its base.
	Base *VerifiedBase `json:"base,omitempty"`
	// Install is what an installation of the release of --install would miss.
	Install *Install `json:"install,omitempty"`
}

// Damage is a member of a bundle that is not what it must be.
type Damage struct {
	Member string        `json:"member"`
	Blob   digest.Digest `json:"blob,omitempty"`
	Error  string        `json:"error"`
}

// Refused is a layer with a member that breaks the rules for layers.
type Refused struct {
	Layer  digest.Digest `json:"layer"`
	Member string        `json:"member"`
	Error  string        `json:"error"`
	Images []string      `json:"images"`
}

// Part is a part of a bundle that is not what the list of parts says.
type Part struct {
	Part  string `json:"part"`
	Error string `json:"error"`
}

// NewBundle describes what a verification of the bundle at path found.
func NewBundle(path string, rep *archive.Report) Bundle {
	out := Bundle{
		Bundle: path, OK: len(rep.Damage) == 0 && len(rep.Refused) == 0, Images: len(rep.Inventory.Images),
		Blobs: rep.Blobs, Bytes: rep.Bytes,
		Damage: make([]Damage, len(rep.Damage)), Hurt: append([]string{}, rep.Images...),
	}
	for i, d := range rep.Damage {
		out.Damage[i] = Damage{Member: d.Member, Blob: d.Blob, Error: d.Err.Error()}
	}
	for _, l := range rep.Refused {
		out.Refused = append(out.Refused, Refused{Layer: l.Blob, Member: l.Err.Name, Error: l.Err.Err.Error(), Images: l.Images})
	}
	return out
}

// WriteText shows it to people.
func (r Bundle) WriteText(w io.Writer) error {
	p := &printer{w: w}
	var again []string
	for _, part := range r.Parts { // first: they are what somebody can copy again
		p.line("DAMAGED  part %s: %s", part.Part, part.Error)
		again = append(again, part.Part)
	}
	for _, d := range r.Damage {
		what := d.Member
		if d.Blob != "" {
			what = "blob " + d.Blob.String()
		}
		p.line("DAMAGED  %s: %s", what, d.Error)
	}
	for _, l := range r.Refused {
		for _, ref := range l.Images {
			p.line("REFUSED  %s: a node does not take layer %s: member %q: %s", ref, l.Layer, l.Member, l.Error)
		}
	}
	for _, ref := range r.Hurt {
		p.line("HURT     %s", ref)
	}
	for _, ref := range r.Missing {
		p.line("MISSING  %s", ref)
	}
	if r.Base != nil {
		r.Base.lines(p)
	}
	if r.Signed {
		p.line("SIGNED   by the key")
	}
	if r.Install != nil {
		r.Install.lines(p)
	}
	if r.OK {
		p.line("OK: %s in %s, %s; every digest is right", Plural(r.Images, "image"), Plural(r.Blobs, "blob"), ui.Bytes(r.Bytes))
		return p.err
	}
	if r.onlyInstall() {
		p.line("NOT OK: every digest is right, but %s", r.Install.fault())
		return p.err
	}
	bad := len(r.Damage)
	lost := Plural(len(r.Missing), "reference")
	if r.Base != nil {
		bad += len(r.Base.Damage)
		if n := len(r.Base.Missing); n > 0 {
			lost = fmt.Sprintf("%s and %s of the base", lost, Plural(n, "layer"))
		}
	}
	refused := ""
	if len(r.Refused) > 0 {
		refused = fmt.Sprintf(", %s that nodes refuse", Plural(len(r.Refused), "layer"))
	}
	p.line("NOT OK: %s damaged, %s of %d hurt, %s missing%s", Plural(bad, "place"), Plural(len(r.Hurt), "image"), r.Images, lost, refused)
	switch {
	case len(again) > 0:
		p.line("  -> copy %s here again; the other parts are right", strings.Join(again, ", "))
	case len(r.Damage) > 0:
		p.line("  -> copy the bundle here again from where it was made, and verify it there first")
	}
	return p.err
}

// AddInstall adds what an installation would miss; nil is for nobody who asked.
func (r *Bundle) AddInstall(i *Install) {
	r.Install = i
	r.OK = r.OK && i.ok()
}

// onlyInstall reports whether all that is wrong is what an installation would miss.
func (r Bundle) onlyInstall() bool {
	return !r.Install.ok() && len(r.Damage)+len(r.Parts)+len(r.Refused)+len(r.Missing) == 0 && (r.Base == nil || r.Base.Right())
}
