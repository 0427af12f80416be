package result

import (
	"io"
	"iter"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/difference"
	"github.com/nodeseal/nodeseal/internal/holding"
	"github.com/nodeseal/nodeseal/internal/longjson"
	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
	"github.com/nodeseal/nodeseal/internal/page/diffpage"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Diff is what diff prints.
type Diff struct {
	From DiffSide `json:"from"`
	To   DiffSide `json:"to"`
	// Same is how many references are the same on both sides; the others are Changes.
	Added   int `json:"added"`
	Removed int `json:"removed"`
	Changed int `json:"changed"`
	Same    int `json:"same"`
	// New are the layers that only To has, Gone those that only From has, each once. They are left out
	// where the layers of a side are not known, as of a list.
	New  *difference.Amount `json:"new,omitempty"`
	Gone *difference.Amount `json:"gone,omitempty"`
	// Stick is what a bundle of To's images carries; it is left out as New is.
	Stick *DiffStick `json:"stick,omitempty"`
	// Changes are sorted by name.
	Changes []DiffChange `json:"changes"`

	report *difference.Report
}

// DiffSide is one of the two that were compared.
type DiffSide struct {
	Path    string          `json:"path"`
	Kind    holding.Kind    `json:"kind"`
	Release *bundle.Release `json:"release,omitempty"`
	// Images is how many references it has.
	Images int `json:"images"`
	// Layers are all layers, each once; left out where they are not known.
	Layers *difference.Amount `json:"layers,omitempty"`
	// Size is the length of a bundle that needs no base.
	Size int64 `json:"size,omitempty"`
}

// DiffStick is what a bundle of the second side's images carries: as bundle --dry-run says
// it, where nothing is measured.
type DiffStick struct {
	// Since is one that is made with --since the first side. It is left out where Refused says
	// why there is none.
	Since   *DiffBundle `json:"since,omitempty"`
	Refused string      `json:"refused,omitempty"`
	Whole   DiffBundle  `json:"whole"`
}

// DiffBundle is a bundle that could be made. Sizes are in bytes.
type DiffBundle struct {
	Layers int `json:"layers"`
	// Bytes are those of the layers, compressed as a registry has them.
	Bytes int64 `json:"bytes"`
	// Bundle is the size of the bundle, estimated.
	Bundle int64 `json:"bundle"`
}

// DiffChange is an image that is not the same on both sides.
type DiffChange struct {
	// Kind is added, removed or changed.
	Kind difference.Kind `json:"kind"`
	// Name is the component of the release, else the repository.
	Name string     `json:"name"`
	From *DiffImage `json:"from,omitempty"`
	To   *DiffImage `json:"to,omitempty"`
	// New are the layers of To that no image of the first side has.
	New *difference.Amount `json:"new,omitempty"`
}

// DiffImage is an image on one side.
type DiffImage struct {
	Ref   string   `json:"ref"`
	Names []string `json:"names,omitempty"`
	// Version is that of the release that the image is of, else its tags.
	Version string `json:"version,omitempty"`
	// Manifests are the digests of the manifests of its platforms, where they are known.
	Manifests []digest.Digest `json:"manifests,omitempty"`
}

// NewDiff describes a difference.
func NewDiff(r *difference.Report) Diff {
	d := Diff{
		From: diffSide(r.From), To: diffSide(r.To), Added: r.Count(difference.Added), Removed: r.Count(difference.Removed),
		Changed: r.Count(difference.Changed), Same: r.Same, New: r.New, Gone: r.Gone, Changes: []DiffChange{}, report: r,
	}
	if s := r.Stick; s != nil {
		d.Stick = &DiffStick{Whole: diffBundle(s.Whole)}
		if s.Since != nil {
			since := diffBundle(s.Since)
			d.Stick.Since = &since
		} else {
			d.Stick.Refused = s.Why.Error()
		}
	}
	return d
}

func diffSide(a difference.About) DiffSide {
	return DiffSide{Path: a.Path, Kind: a.Kind, Release: a.Release, Images: a.Images, Layers: a.Total, Size: a.Size}
}

func diffBundle(p *plan.Plan) DiffBundle {
	return DiffBundle{Layers: p.Layers - p.BaseLayers, Bytes: p.LayerBytes - p.BaseBytes, Bundle: p.Bundle}
}

func diffImage(img *difference.Image) *DiffImage {
	if img == nil {
		return nil
	}
	return &DiffImage{Ref: img.Ref, Names: img.Names, Version: img.Version(), Manifests: img.Manifests}
}

// changes yields the changes one at a time: there may be many.
func (r Diff) changes() iter.Seq[DiffChange] {
	return func(yield func(DiffChange) bool) {
		for i := range r.report.Changes {
			c := &r.report.Changes[i]
			if !yield(DiffChange{Kind: c.Kind, Name: c.Title(), From: diffImage(c.From), To: diffImage(c.To), New: c.New}) {
				return
			}
		}
	}
}

// WriteJSON writes it as JSON.
func (r Diff) WriteJSON(w io.Writer) error { return longjson.Write(w, r, "changes", r.changes()) }

// WriteHTML writes it as a page.
func (r Diff) WriteHTML(w io.Writer, made madeby.Mark) error {
	return diffpage.Write(w, r.report, made)
}

// WriteText shows it to people: what it comes to, and then each change.
func (r Diff) WriteText(w io.Writer) error {
	p := &printer{w: w}
	r.From.line(p, "from")
	r.To.line(p, "to")
	if len(r.report.Changes) == 0 {
		p.block("no difference: %s", Plural(r.Same, "image"))
		return p.err
	}
	p.block("%d added, %d removed, %d changed, %d the same", r.Added, r.Removed, r.Changed, r.Same)
	if r.New != nil {
		p.block("new: %s", layers(r.New))
		p.block("gone: %s", layers(r.Gone))
	}
	r.Stick.line(p, r.To.Size)
	p.line("")
	head := []any{"CHANGE", "NEW", "UNPACKED", "IMAGE"}
	columns := "%-7s %10s %10s  %s"
	if r.New == nil {
		columns, head = "%-7s  %s", []any{"CHANGE", "IMAGE"}
	}
	p.line(columns, head...)
	for c := range r.changes() {
		row := []any{string(c.Kind), c.Name}
		if r.New != nil {
			row = []any{string(c.Kind), c.newBytes(), c.newUnpacked(), c.Name}
		}
		p.line(columns, row...)
		c.details(p)
	}
	return p.err
}

func (s DiffSide) line(p *printer, word string) {
	text := Plural(s.Images, "image")
	if s.Layers != nil {
		text += ", " + layers(s.Layers)
	}
	if s.Release != nil && s.Release.Version != "" {
		text = "release " + s.Release.Version + ", " + text
	}
	p.block("%s %s %s: %s", word, s.Kind, s.Path, text)
}

// layers says what layers take.
func layers(a *difference.Amount) string {
	text := Plural(a.Layers, "layer")
	if a.Layers > 0 {
		text += ", " + ui.Bytes(a.Bytes) + " compressed"
	}
	if a.Unpacked > 0 {
		text += ", " + ui.Bytes(a.Unpacked) + " unpacked"
	}
	return text
}

// line says what there is to carry; size is that of the whole bundle, 0 if there is none.
func (s *DiffStick) line(p *printer, size int64) {
	switch {
	case s == nil:
		p.block("the layers of a list or a release are not known: compare bundles or stores to see sizes")
		return
	case s.Since == nil:
		p.block("no bundle with --since: %s", s.Refused)
	default:
		p.block("to carry: about %s in a bundle with --since", ui.Bytes(s.Since.Bundle))
	}
	if size > 0 {
		p.block("to carry: %s in the whole bundle", ui.Bytes(size))
		return
	}
	p.block("to carry: about %s in a whole bundle", ui.Bytes(s.Whole.Bundle))
}

func (c DiffChange) newBytes() string {
	if c.New == nil {
		return "-"
	}
	return ui.Bytes(c.New.Bytes)
}

func (c DiffChange) newUnpacked() string {
	if c.New == nil || c.New.Layers > 0 && c.New.Unpacked == 0 {
		return "-"
	}
	return ui.Bytes(c.New.Unpacked)
}

// details says which versions and references are meant.
func (c DiffChange) details(p *printer) {
	if c.From == nil || c.To == nil {
		img := c.From
		if img == nil {
			img = c.To
		}
		if img.Version != "" {
			p.block("  %s", img.Version)
		}
		p.block("  %s", img.Ref)
		return
	}
	if c.From.Version != c.To.Version {
		p.block("  %s -> %s", orNone(c.From.Version), orNone(c.To.Version))
	}
	if c.From.Ref == c.To.Ref {
		p.block("  %s, with other platforms", c.To.Ref)
		return
	}
	p.block("  from %s", c.From.Ref)
	p.block("  to %s", c.To.Ref)
}

func orNone(s string) string {
	if s == "" {
		return "no version"
	}
	return s
}
