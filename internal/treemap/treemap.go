// Package treemap lays out numbers as rectangles that fill one rectangle, each with an area in
// proportion to its number. The rectangles are as close to squares as the squarified layout of Bruls,
// Huizing and van Wijk (2000) makes them.
package treemap

import (
	"cmp"
	"slices"
)

// Rect is a rectangle. X and Y are its corner at the top on the left.
type Rect struct{ X, Y, W, H float64 }

// Area is W times H.
func (r Rect) Area() float64 { return r.W * r.H }

// Layout returns a rectangle within r for each weight, in the order of the weights. The largest weight lies at
// the top on the left. A weight that is not positive gets the zero Rect. The same weights give the same
// rectangles. Layout takes time for n weights as sorting them does.
func Layout(r Rect, weights []int64) []Rect {
	out := make([]Rect, len(weights))
	left := make([]int, 0, len(weights)) // places of weights that are not laid out, the largest first
	sum := 0.0
	for i, w := range weights {
		if w > 0 {
			left, sum = append(left, i), sum+float64(w)
		}
	}
	slices.SortStableFunc(left, func(a, b int) int { return cmp.Compare(weights[b], weights[a]) })
	scale := r.Area() / sum
	area := func(i int) float64 { return float64(weights[i]) * scale }
	for len(left) > 0 {
		n, rowArea := row(left, area, min(r.W, r.H))
		last := n == len(left)
		r = place(r, left[:n], area, rowArea, last, out)
		left = left[n:]
	}
	return out
}

// row returns how many of the first places stand in one row along a side of the given length, and their area:
// as many as make the worst of them no less square.
func row(left []int, area func(int) float64, side float64) (n int, sum float64) {
	largest := area(left[0])
	worst := func(sum, smallest float64) float64 {
		return max(side*side*largest/(sum*sum), sum*sum/(side*side*smallest))
	}
	sum = largest
	for n = 1; n < len(left); n++ {
		a := area(left[n])
		if worst(sum+a, a) > worst(sum, area(left[n-1])) {
			break
		}
		sum += a
	}
	return n, sum
}

// place lays out a row along the shorter side of r, and returns what is left of r. The last row takes all of it, whatever
// was rounded before.
func place(r Rect, places []int, area func(int) float64, sum float64, last bool, out []Rect) Rect {
	wide := r.W >= r.H // the row is a column then
	side, depth := r.W, r.H
	if wide {
		side, depth = r.H, r.W
	}
	if thick := sum / side; !last && thick < depth {
		depth = thick
	}
	at := 0.0
	for n, i := range places {
		length := side * area(i) / sum
		if n == len(places)-1 {
			length = side - at
		}
		if wide {
			out[i] = Rect{r.X, r.Y + at, depth, length}
		} else {
			out[i] = Rect{r.X + at, r.Y, length, depth}
		}
		at += length
	}
	if wide {
		return Rect{r.X + depth, r.Y, r.W - depth, r.H}
	}
	return Rect{r.X, r.Y + depth, r.W, r.H - depth}
}
