package treemap_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nodeseal/nodeseal/internal/treemap"
)

// hold holds that the rectangles fill r with areas in proportion to the weights, and do not overlap.
func hold(t *testing.T, r treemap.Rect, weights []int64, got []treemap.Rect) {
	t.Helper()
	const slack = 1e-6
	sum := 0.0
	for _, w := range weights {
		sum += float64(max(w, 0))
	}
	for i, a := range got {
		want := r.Area() * float64(max(weights[i], 0)) / sum
		if math.Abs(a.Area()-want) > slack*r.Area() {
			t.Fatalf("%v: weight %d has the area %g, want %g", weights, weights[i], a.Area(), want)
		}
		if a == (treemap.Rect{}) {
			continue
		}
		if !(a.X >= r.X-slack && a.Y >= r.Y-slack && a.X+a.W <= r.X+r.W+slack && a.Y+a.H <= r.Y+r.H+slack) {
			t.Fatalf("%v: %+v is not within %+v", weights, a, r)
		}
		for _, b := range got[:i] {
			w := min(a.X+a.W, b.X+b.W) - max(a.X, b.X)
			h := min(a.Y+a.H, b.Y+b.H) - max(a.Y, b.Y)
			if b != (treemap.Rect{}) && w > slack && h > slack {
				t.Fatalf("%v: %+v and %+v overlap", weights, a, b)
			}
		}
	}
}

// aspect is how far the least square of the rectangles is from a square.
func aspect(got []treemap.Rect) (worst float64) {
	for _, r := range got {
		worst = max(worst, r.W/r.H, r.H/r.W)
	}
	return worst
}

// The example of the paper has rectangles of at most 3.0 to 1; one after the other in strips they have up to 16.
func TestPaper(t *testing.T) {
	t.Parallel()
	r, weights := treemap.Rect{W: 6, H: 4}, []int64{6, 6, 4, 3, 2, 2, 1}
	got := treemap.Layout(r, weights)
	hold(t, r, weights, got)
	if got[0] != (treemap.Rect{W: 3, H: 2}) || got[1] != (treemap.Rect{Y: 2, W: 3, H: 2}) {
		t.Errorf("the first two are %+v and %+v", got[0], got[1])
	}
	if a := aspect(got); a > 3.01 {
		t.Errorf("the worst aspect is %g", a)
	}
}

// Each weight has its area wherever it stands, of one and of many, equal and of all sizes.
func TestAreas(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	r := treemap.Rect{X: 10, Y: 20, W: 1200, H: 640}
	for n := range 200 {
		weights := make([]int64, n+1)
		for i := range weights {
			weights[i] = random.Int64N(1 << random.Int64N(40))
		}
		weights[0] = 1 << 38
		hold(t, r, weights, treemap.Layout(r, weights))
		equal := slices.Repeat([]int64{7}, n+1)
		got := treemap.Layout(r, equal)
		hold(t, r, equal, got)
		if a := aspect(got); a > 6 {
			t.Errorf("%d equal ones: the worst aspect is %g", n+1, a)
		}
	}
}

// The order of weights changes where they stand in the result, and nothing of where they lie.
func TestOrder(t *testing.T) {
	t.Parallel()
	r, weights := treemap.Rect{W: 100, H: 50}, []int64{1, 50, 3, 20, 8}
	got := treemap.Layout(r, weights)
	slices.Reverse(weights)
	again := treemap.Layout(r, weights)
	slices.Reverse(again)
	if !slices.Equal(got, again) {
		t.Errorf("%+v and %+v", got, again)
	}
}

// What has no weight has no place, and there may be nothing at all.
func TestNothing(t *testing.T) {
	t.Parallel()
	r := treemap.Rect{W: 100, H: 50}
	if got := treemap.Layout(r, nil); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if got := treemap.Layout(r, []int64{0, -5, 3}); got[0] != (treemap.Rect{}) || got[1] != (treemap.Rect{}) || got[2] != r {
		t.Errorf("%+v", got)
	}
}
