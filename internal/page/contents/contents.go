package contents

import (
	_ "embed" // the body and its style
	"fmt"
	"html/template"
	"io"
	"iter"
	"path"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/page"
	"github.com/nodeseal/nodeseal/internal/ui"
	"github.com/nodeseal/nodeseal/internal/visible"
)

// What the tables have at the most; the rest is counted in a line below them.
const (
	maxRows     = 2000
	maxShared   = 500
	maxLayers   = 40_000 // in all images' lists
	maxOfImage  = 200
	maxNames    = 12
	maxSharedBy = 12
)

//go:embed body.html
var body string

//go:embed page.css
var style string

// Subject is what a page is about.
type Subject struct {
	// Path is the file or directory, Size its bytes.
	Path string
	Size int64
	// Inventory has the images, with the blobs of their layers.
	Inventory *bundle.Inventory
	Made      madeby.Mark
}

// Write writes the page, in memory of a small part of the inventory's.
func Write(w io.Writer, s Subject) error {
	c := read(s.Inventory)
	v := &view{Subject: s, contents: c, Path: visible.Line(s.Path), Known: c.known}
	title := "nodeseal: what is in " + path.Base(v.Path)
	return page.Page{Title: title, Style: style, Sorts: true, Body: body, Funcs: template.FuncMap{"n": number}}.Write(w, v)
}

// view is what the body shows.
type view struct {
	Subject
	*contents
	Path  string
	Known bool
}

// Pictures draws a measure in each shape, one after the other.
func (v *view) Pictures(measure int) iter.Seq[*picture] {
	return func(yield func(*picture) bool) {
		for _, s := range shapes() {
			if !yield(v.draw(measure, s)) {
				return
			}
		}
	}
}

// Facts is the line below the title.
func (v *view) Facts() string {
	var facts []string
	if r := v.Inventory.Release; r != nil && r.Version != "" {
		facts = append(facts, "release "+visible.Line(r.Version))
	}
	if v.Size > 0 {
		facts = append(facts, ui.Bytes(v.Size)+" on disk")
	}
	references, signed := 0, 0
	for i := range v.Inventory.Images {
		references++
		if len(v.Inventory.Images[i].Attachments) > 0 {
			signed++
		}
	}
	facts = append(facts, count(references, "reference"))
	if signed > 0 {
		facts = append(facts, fmt.Sprintf("%d with signatures or other attachments", signed))
	}
	if v.Inventory.Base != nil {
		facts = append(facts, "builds on another bundle")
	}
	return strings.Join(facts, " · ")
}

// Images, Layers, Total and Shared are the figures of the tiles.
func (v *view) Images() int   { return len(v.images) }
func (v *view) Layers() int   { return len(v.layers) }
func (v *view) Total() string { return v.amount(v.total) }

// Shared says how much of the layers more than one image has.
func (v *view) Shared() string { return v.amount(v.shared) }

func (v *view) amount(s sizes) string { return ui.Bytes(s[v.measure()]) }

// Verdict says what sharing spares.
func (v *view) Verdict() string {
	var without sizes
	for i := range v.images {
		without.add(v.images[i].all)
	}
	m := v.measure()
	switch {
	case len(v.images) == 0:
		return "There is no image in it."
	case without[m] <= v.total[m]:
		return "No two images share a layer."
	}
	return fmt.Sprintf("Each layer is kept once: %s instead of %s.", ui.Bytes(v.total[m]), ui.Bytes(without[m]))
}

// Plain and Packed are the measures, for the body.
func (v *view) Plain() int { return plain }

// Packed is the measure of compressed bytes.
func (v *view) Packed() int { return packed }

// Based reports whether layers are left to another bundle.
func (v *view) Based() bool { return v.Inventory.Base != nil }

// row is a row of the table of images.
type row struct {
	ID, Name, Ref string
	Marks         string
	Layers        int
	Plain, Packed int64
	Own           int64
	Names         []string
	MoreNames     int
	List          []layerRow
	MoreLayers    int
}

// layerRow is a layer of an image, or one that is shared.
type layerRow struct {
	Digest string
	size   sizes
	Images int
	Based  bool
	// Of are names of the images that have it, More how many have no place here.
	Of   []string
	More int
	// Saved are the bytes that the images would take more without sharing it.
	Saved int64
}

// PlainText is the plain size, or "-" if it is not known.
func (l layerRow) PlainText() string { return bytesOf(l.size[plain]) }

// PackedText is the compressed size.
func (l layerRow) PackedText() string { return bytesOf(l.size[packed]) }

// Plain and Packed are the bytes by which rows are sorted.
func (l layerRow) Plain() int64 { return l.size[plain] }

// Packed are the compressed bytes.
func (l layerRow) Packed() int64 { return l.size[packed] }

// SavedText is Saved for people.
func (l layerRow) SavedText() string { return ui.Bytes(l.Saved) }

// PlainText is the plain size, or "-" if it is not known.
func (r row) PlainText() string { return bytesOf(r.Plain) }

// PackedText is the compressed size.
func (r row) PackedText() string { return bytesOf(r.Packed) }

// OwnText is what no other image has.
func (r row) OwnText() string { return ui.Bytes(r.Own) }

// Rows yields the images, the largest first.
func (v *view) Rows() iter.Seq[row] {
	return func(yield func(row) bool) {
		listed := 0
		for i := range v.images[:min(len(v.images), maxRows)] {
			img := &v.images[i]
			r := row{ID: img.anchor(i), Name: img.name(), Ref: visible.Line(img.first.Ref), Marks: img.marks(), Layers: len(img.layers),
				Packed: img.all[packed], Own: img.own[v.measure()]}
			if v.known {
				r.Plain = img.all[plain]
			}
			r.Names, r.MoreNames = img.names()
			for _, place := range img.layers[:min(len(img.layers), maxOfImage, maxLayers-listed)] {
				l := &v.layers[place]
				r.List = append(r.List, layerRow{Digest: short(l.diffID), size: l.size, Images: int(l.images), Based: l.based})
			}
			listed += len(r.List)
			r.MoreLayers = len(img.layers) - len(r.List)
			if !yield(r) {
				return
			}
		}
	}
}

// MoreRows says what of the images has no row.
func (v *view) MoreRows() string {
	if len(v.images) <= maxRows {
		return ""
	}
	var own int64
	for i := maxRows; i < len(v.images); i++ {
		own += v.images[i].own[v.measure()]
	}
	return fmt.Sprintf("%d smaller images, with %s of their own, have no row here; nodeseal inspect --json has all.", len(v.images)-maxRows, ui.Bytes(own))
}

// SharedRows yields the layers that more than one image has, those first that save the most.
func (v *view) SharedRows() iter.Seq[layerRow] {
	shown := v.sharedLayers[:min(len(v.sharedLayers), maxShared)]
	users := make(map[int32][]string, len(shown))
	for _, place := range shown {
		users[place] = nil
	}
	for i := range v.images {
		for _, place := range v.images[i].layers {
			if of, ok := users[place]; ok && len(of) < maxSharedBy {
				users[place] = append(of, v.images[i].name())
			}
		}
	}
	return func(yield func(layerRow) bool) {
		for _, place := range shown {
			l := &v.layers[place]
			if !yield(layerRow{Digest: l.diffID.String(), size: l.size, Images: int(l.images), Based: l.based,
				Of: users[place], More: int(l.images) - len(users[place]), Saved: l.saved()[v.measure()]}) {
				return
			}
		}
	}
}

// MoreShared says how many shared layers have no row.
func (v *view) MoreShared() string {
	if len(v.sharedLayers) <= maxShared {
		return ""
	}
	return fmt.Sprintf("%d more layers are shared; they save less than these.", len(v.sharedLayers)-maxShared)
}

// name is the name that people know an image by: the component of a release, else the last part of the repository.
func (i *image) name() string {
	name := imagelist.Component(i.first.From)
	if name == "" {
		name, _, _ = strings.Cut(path.Base(i.first.Ref), "@")
	}
	return page.Cut(visible.Line(name), 80)
}

// anchor is the id of the row of the image at place n, "" if it has none.
func (i *image) anchor(n int) string {
	if n >= maxRows {
		return ""
	}
	return "i" + strconv.Itoa(n)
}

// marks says what kind of image it is.
func (i *image) marks() string {
	var marks []string
	if i.first.Role != "" {
		marks = append(marks, strings.ReplaceAll(visible.Line(i.first.Role), "-", " "))
	}
	if i.first.Original {
		marks = append(marks, "kept as a registry has it")
	}
	if i.first.Artifact {
		marks = append(marks, "OCI artifact")
	}
	if n := len(i.first.Attachments); n > 0 {
		marks = append(marks, count(n, "attachment"))
	}
	return strings.Join(marks, " · ")
}

// names are further references of the image, and how many more it has.
func (i *image) names() (names []string, more int) {
	add := func(name string) {
		if len(names) < maxNames {
			names = append(names, visible.Line(name))
			return
		}
		more++
	}
	for _, name := range i.first.Names {
		add(name)
	}
	for _, other := range i.others {
		add(other.Ref)
		for _, name := range other.Names {
			add(name)
		}
	}
	return names, more
}

func bytesOf(n int64) string {
	if n == 0 {
		return "-"
	}
	return ui.Bytes(n)
}

// short is the beginning of a digest.
func short(d digest.Digest) string { return d.Encoded()[:12] }

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
