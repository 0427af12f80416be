// Package diffpage makes the page of diff --html: how the images of two bundles, stores, lists or releases differ, and
// what has to be carried.
package diffpage

import (
	"cmp"
	_ "embed" // the body and its style
	"fmt"
	"html/template"
	"io"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/difference"
	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/page"
	"github.com/nodeseal/nodeseal/internal/ui"
	"github.com/nodeseal/nodeseal/internal/visible"
)

// maxRows is how many changes the table has at the most; the rest is counted in a line below it.
const maxRows = 5000

//go:embed body.html
var body string

//go:embed page.css
var style string

// Write writes the page.
func Write(w io.Writer, r *difference.Report, made madeby.Mark) error {
	v := &view{Report: r, Made: made, order: make([]int32, len(r.Changes))}
	for i := range r.Changes {
		v.order[i] = int32(i) // an inventory has fewer than 2^20 images, a list 100,000
		if n := r.Changes[i].New; n != nil {
			v.most = max(v.most, n.Bytes)
		}
	}
	slices.SortStableFunc(v.order, func(a, b int32) int { return cmp.Compare(v.bytes(b), v.bytes(a)) })
	title := "nodeseal: from " + path.Base(visible.Line(r.From.Path)) + " to " + path.Base(visible.Line(r.To.Path))
	return page.Page{Title: title, Style: style, Sorts: true, Body: body, Funcs: template.FuncMap{"line": visible.Line}}.Write(w, v)
}

// view is what the body shows.
type view struct {
	*difference.Report
	Made madeby.Mark
	// order are the places of the changes, those first that bring the most. most is that.
	order []int32
	most  int64
}

// bytes are those of the new layers of a change.
func (v *view) bytes(place int32) int64 {
	if n := v.Changes[place].New; n != nil {
		return n.Bytes
	}
	return 0
}

// Sized reports whether the layers of both sides are known.
func (v *view) Sized() bool { return v.New != nil }

// Added, Removed and Changed count the changes.
func (v *view) Added() int   { return v.Count(difference.Added) }
func (v *view) Removed() int { return v.Count(difference.Removed) }
func (v *view) Changed() int { return v.Count(difference.Changed) }

// Verdict is the difference in a sentence: what has to be carried.
func (v *view) Verdict() string {
	switch {
	case len(v.Changes) == 0:
		return fmt.Sprintf("No difference: %s.", images(v.Same))
	case v.Stick == nil:
		return "The layers of a list or a release are not known: compare bundles or stores to see sizes."
	case v.Stick.Since == nil:
		return "A stick has to carry the whole bundle, " + v.whole() + ". There is no bundle with --since: " + visible.Line(v.Stick.Why.Error()) + "."
	}
	return fmt.Sprintf("A stick carries about %s with --since, instead of %s for the whole bundle.", ui.Bytes(v.Stick.Since.Bundle), v.whole())
}

// whole is the size of a bundle that needs no base.
func (v *view) whole() string {
	if v.To.Size > 0 {
		return ui.Bytes(v.To.Size)
	}
	return "about " + ui.Bytes(v.Stick.Whole.Bundle)
}

// Sides are the two that were compared.
func (v *view) Sides() []side {
	return []side{newSide("From", &v.From), newSide("To", &v.To)}
}

// side is one of the two.
type side struct{ Word, Path, Facts string }

func newSide(word string, a *difference.About) side {
	facts := []string{string(a.Kind), images(a.Images)}
	if a.Release != nil && a.Release.Version != "" {
		facts[0] = fmt.Sprintf("%s of release %s", a.Kind, visible.Line(a.Release.Version))
	}
	if a.Total != nil {
		facts = append(facts, amount(a.Total))
	}
	return side{Word: word, Path: visible.Line(a.Path), Facts: strings.Join(facts, " · ")}
}

// Amounts say which layers are new and gone, "" if that is not known.
func (v *view) Amounts() string {
	if v.New == nil {
		return ""
	}
	return "New: " + amount(v.New) + ". Gone: " + amount(v.Gone) + "."
}

// amount says what layers take.
func amount(a *difference.Amount) string {
	text := fmt.Sprintf("%d layers", a.Layers)
	if a.Layers == 1 {
		text = "1 layer"
	}
	if a.Layers > 0 {
		text += ", " + ui.Bytes(a.Bytes) + " compressed"
	}
	if a.Unpacked > 0 {
		text += ", " + ui.Bytes(a.Unpacked) + " unpacked"
	}
	return text
}

func images(n int) string {
	if n == 1 {
		return "1 image"
	}
	return fmt.Sprintf("%d images", n)
}

// row is one change.
type row struct {
	Kind         difference.Kind
	Name         string
	From, To     string // versions
	Lines        []string
	Bytes        int64
	Unpacked     int64
	BytesText    string
	UnpackedText string
	// Bar is the share of the largest change's bytes, in percent.
	Bar int64
}

// Rows yields the changes, those first that bring the most.
func (v *view) Rows() iter.Seq[row] {
	return func(yield func(row) bool) {
		for _, place := range v.order[:min(len(v.order), maxRows)] {
			if !yield(v.row(&v.Changes[place])) {
				return
			}
		}
	}
}

func (v *view) row(c *difference.Change) row {
	r := row{Kind: c.Kind, Name: visible.Line(c.Title()), BytesText: "-", UnpackedText: "-"}
	if c.From != nil {
		r.From = visible.Line(c.From.Version())
		r.Lines = append(r.Lines, "from "+visible.Line(c.From.Ref))
	}
	if c.To != nil {
		r.To = visible.Line(c.To.Version())
		r.Lines = append(r.Lines, "to "+visible.Line(c.To.Ref))
	}
	if c.From != nil && c.To != nil && c.From.Ref == c.To.Ref {
		r.Lines = []string{visible.Line(c.To.Ref) + ", with other platforms"}
	}
	if n := c.New; n != nil {
		r.Bytes, r.BytesText, r.Unpacked = n.Bytes, ui.Bytes(n.Bytes), n.Unpacked
		if n.Unpacked > 0 || n.Layers == 0 {
			r.UnpackedText = ui.Bytes(n.Unpacked)
		}
		r.Lines = append(r.Lines, "new: "+amount(n))
		if v.most > 0 {
			r.Bar = (n.Bytes*100 + v.most - 1) / v.most
		}
	}
	return r
}

// More says what has no row.
func (v *view) More() string {
	if len(v.Changes) <= maxRows {
		return ""
	}
	var bytes int64
	for _, place := range v.order[maxRows:] {
		bytes += v.bytes(place)
	}
	text := fmt.Sprintf("%d more changes have no row here; nodeseal diff --json has all.", len(v.Changes)-maxRows)
	if v.Sized() {
		text += " None of them brings more than those above; their new layers add up to " + ui.Bytes(bytes) + "."
	}
	return text
}
