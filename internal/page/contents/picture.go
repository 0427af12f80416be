package contents

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"

	"github.com/nodeseal/nodeseal/internal/page"
	"github.com/nodeseal/nodeseal/internal/treemap"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// shape is the size of a picture, in units that are about pixels, and what it draws at the most.
type shape struct {
	Name   string
	W, H   float64
	images int
	// image and layer are the least areas that are drawn by themselves.
	image, layer float64
	// font is the height of letters, letter their width on average.
	font, letter float64
}

// shapes are the pictures of a page: for a desk and paper, and for a phone.
func shapes() []shape {
	return []shape{
		{Name: "wide", W: 1200, H: 640, images: 1000, image: 40, layer: 128, font: 13, letter: 8},
		{Name: "narrow", W: 360, H: 480, images: 400, image: 40, layer: 100, font: 11, letter: 6.8},
	}
}

// picture is a treemap of one measure in one shape.
type picture struct {
	c       *contents
	measure int
	shape
	// Images are drawn by themselves, Smaller are folded into one cell, and Covered have no layer of their own.
	Images, Smaller, Covered int
	cells                    []cell
}

// cell is a rectangle of a picture that stands for something in the tables.
type cell struct {
	treemap.Rect
	Class, Title, Label, Second string
	// Anchor is the id of its row, "" for none.
	Anchor string
	layers []int32
}

// part is a rectangle within a cell.
type part struct {
	treemap.Rect
	Class, Title string
}

// draw lays out a picture: what images share in one cell, what each has alone in its own.
func (c *contents) draw(measure int, s shape) *picture {
	p := &picture{c: c, measure: measure, shape: s}
	unit := s.W * s.H / max(float64(c.total[measure]), 1) // area of a byte
	byOwn := make([]int, 0, len(c.images))
	for i := range c.images {
		if c.images[i].own[measure] > 0 {
			byOwn = append(byOwn, i)
		} else {
			p.Covered++
		}
	}
	slices.SortStableFunc(byOwn, func(a, b int) int { return cmp.Compare(c.images[b].own[measure], c.images[a].own[measure]) })
	for p.Images < min(len(byOwn), s.images) && float64(c.images[byOwn[p.Images]].own[measure])*unit >= s.image {
		p.Images++
	}
	if p.Images == len(byOwn)-1 {
		p.Images++ // one cell for one image says no less
	}
	p.Smaller = len(byOwn) - p.Images
	weights := make([]int64, 0, p.Images+2)
	for _, i := range byOwn[:p.Images] {
		weights = append(weights, c.images[i].own[measure])
		p.cells = append(p.cells, p.imageCell(i))
	}
	var smaller int64
	for _, i := range byOwn[p.Images:] {
		smaller += c.images[i].own[measure]
	}
	if p.Smaller > 0 {
		weights = append(weights, smaller)
		p.cells = append(p.cells, cell{Class: "rest", Label: fmt.Sprintf("%d smaller", p.Smaller), Second: ui.Bytes(smaller),
			Title: fmt.Sprintf("%d smaller images, together %s of their own", p.Smaller, ui.Bytes(smaller))})
	}
	if shared := c.shared[measure]; shared > 0 {
		weights = append(weights, shared)
		p.cells = append(p.cells, cell{Class: "shared", Anchor: "shared", Label: "Shared layers", Second: ui.Bytes(shared), layers: c.sharedLayers,
			Title: fmt.Sprintf("%s that more than one image has: %s", count(len(c.sharedLayers), "layer"), ui.Bytes(shared))})
	}
	for i, r := range treemap.Layout(treemap.Rect{W: s.W, H: s.H}, weights) {
		cell := &p.cells[i]
		cell.Rect = r
		if r.W < 44 || r.H < s.font+8 {
			cell.Label = ""
		}
		if r.H < 2*s.font+14 || r.W < 60 {
			cell.Second = ""
		}
		cell.Label = page.Cut(cell.Label, max(int((r.W-10)/s.letter), 2))
	}
	return p
}

func (p *picture) imageCell(i int) cell {
	img := &p.c.images[i]
	class := "own"
	if img.first.Role != "" {
		class = "os"
	}
	own := make([]int32, 0, len(img.layers))
	for _, place := range img.layers {
		if p.c.layers[place].images == 1 {
			own = append(own, place)
		}
	}
	size := ui.Bytes(img.own[p.measure])
	return cell{Class: class, Label: img.name(), Second: size, Anchor: img.anchor(i), layers: own,
		Title: fmt.Sprintf("%s: %s in %s of its own", img.name(), size, count(len(own), "layer"))}
}

// Cells yields what is drawn.
func (p *picture) Cells() iter.Seq[*cell] {
	return func(yield func(*cell) bool) {
		for i := range p.cells {
			if !yield(&p.cells[i]) {
				return
			}
		}
	}
}

// Parts yields the layers of a cell, if more than one of them can be seen. Those that are too small are one.
func (p *picture) Parts(c *cell) iter.Seq[part] {
	return func(yield func(part) bool) {
		places, weights, rest := p.seen(c)
		if len(weights) < 2 {
			return
		}
		for i, r := range treemap.Layout(c.Rect, weights) {
			one := part{Rect: r, Class: "rest", Title: fmt.Sprintf("%d smaller layers: %s", rest, ui.Bytes(weights[i]))}
			if i < len(places) {
				l := &p.c.layers[places[i]]
				one.Class, one.Title = l.class(), short(l.diffID)+": "+ui.Bytes(weights[i])
				if l.images > 1 {
					one.Title += fmt.Sprintf(" in %d images", l.images)
				}
			}
			if !yield(one) {
				return
			}
		}
	}
}

// seen returns the layers of a cell that are large enough to be drawn, and their weights, with that of the rest
// behind them.
func (p *picture) seen(c *cell) (places []int32, weights []int64, rest int) {
	unit := p.W * p.H / max(float64(p.c.total[p.measure]), 1)
	var small int64
	for _, place := range c.layers {
		size := p.c.layers[place].size[p.measure]
		switch {
		case size == 0:
		case float64(size)*unit < p.layer:
			rest, small = rest+1, small+size
		default:
			places, weights = append(places, place), append(weights, size)
		}
	}
	if rest > 0 {
		weights = append(weights, small)
	}
	return places, weights, rest
}

// class says how a layer is painted: the more images have it, the stronger.
func (l *layer) class() string {
	class := "alone"
	switch {
	case l.images > 20:
		class = "most"
	case l.images > 4:
		class = "many"
	case l.images > 1:
		class = "few"
	}
	if l.based {
		class += " based"
	}
	return class
}

// MeasureName is the class of pictures of the measure.
func (p *picture) MeasureName() string {
	return [...]string{plain: "plain", packed: "packed"}[p.measure]
}

// Line is the distance between lines of text.
func (p *picture) Line() float64 { return p.font + 3 }

// Says says what is drawn, and what is folded or left out.
func (p *picture) Says() string {
	how := [...]string{plain: "unpacked", packed: "compressed"}[p.measure]
	text := fmt.Sprintf("Areas are bytes, %s: %s in all, each layer once. Drawn by themselves: %s.", how, ui.Bytes(p.c.total[p.measure]), count(p.Images, "image"))
	if p.Smaller > 0 {
		text += fmt.Sprintf(" %d smaller ones are in one cell.", p.Smaller)
	}
	if p.Covered > 0 {
		text += fmt.Sprintf(" %s made of shared layers alone.", are(p.Covered))
	}
	return text
}

func are(n int) string {
	if n == 1 {
		return "1 more image is"
	}
	return fmt.Sprintf("%d more images are", n)
}

// number writes the sum of coordinates: a tenth of a unit is less than a pixel.
func number(parts ...float64) string {
	sum := 0.0
	for _, part := range parts {
		sum += part
	}
	return strconv.FormatFloat(math.Round(sum*10)/10, 'f', -1, 64)
}
