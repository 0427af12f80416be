package sample_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/mirror/sample"
)

// clock goes on by a second whenever it is looked at.
func clock() func() time.Time {
	var now time.Time
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

// layer is a layer that is compressed by a factor; what is read of it is counted.
type layer struct {
	plain  io.Reader
	factor int64
	read   int64
	closed int
}

func (l *layer) Read(p []byte) (int, error) {
	n, err := l.plain.Read(p)
	l.read += int64(n)
	return n, err
}

func (l *layer) Close() error {
	l.closed++
	return nil
}

func (l *layer) open(context.Context) (io.ReadCloser, func() int64, error) {
	return l, func() int64 { return l.read / l.factor }, nil
}

// words are n bytes that compress, less than they are.
func words(n int) io.Reader {
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < n {
		b.WriteString([]string{"node", "seal", "image", "layer", "bundle", "manifest"}[r.IntN(6)])
		b.WriteByte(byte(r.IntN(256)))
	}
	return strings.NewReader(b.String()[:n])
}

func TestTake(t *testing.T) {
	t.Parallel()
	small := &layer{plain: words(1 << 20), factor: 2}
	large := &layer{plain: words(64 << 20), factor: 4}
	dense := &layer{plain: words(64 << 20), factor: 1}
	res, err := sample.Take(t.Context(), []sample.Layer{small.open, large.open, dense.open}, clock())
	if err != nil {
		t.Fatal(err)
	}
	// All of the small one; 8 MiB plain of the large one; 4 MiB compressed of the dense one.
	const plain, compressed = 1<<20 + 8<<20 + 4<<20, 1<<20/2 + 8<<20/4 + 4<<20
	if small.read != 1<<20 || large.read != 8<<20 || dense.read != 4<<20 {
		t.Errorf("read %d, %d and %d bytes", small.read, large.read, dense.read)
	}
	if res.Rate != compressed || res.Plain != float64(plain)/compressed {
		t.Errorf("rate %v, plain %v", res.Rate, res.Plain)
	}
	if len(res.Levels) != seekable.MaxLevel {
		t.Fatalf("%d levels", len(res.Levels))
	}
	// Each level compresses all of the small one and 2 MiB of each of the others, in a second.
	const speed = (1<<20 + 2<<20 + 2<<20) / (float64(plain) / compressed)
	for i, l := range res.Levels {
		if l.Level != i+1 || l.Speed != speed {
			t.Errorf("%+v", l)
		}
		if ratio := l.Ratio * compressed / plain; ratio < 0.1 || ratio > 0.9 {
			t.Errorf("level %d: %v of the plain bytes", l.Level, ratio)
		}
	}
	if first, last := res.Levels[0].Ratio, res.Levels[len(res.Levels)-1].Ratio; last >= first {
		t.Errorf("the highest level makes %v, the lowest %v", last, first)
	}
	for _, l := range []*layer{small, large, dense} {
		if l.closed != 1 {
			t.Errorf("closed %d times", l.closed)
		}
	}
}

func TestTakeFails(t *testing.T) {
	t.Parallel()
	errBroken := errors.New("broken")
	open := func(context.Context) (io.ReadCloser, func() int64, error) { return nil, nil, errBroken }
	broken := &layer{plain: io.MultiReader(words(100_000), failing{errBroken}), factor: 1}
	for name, layers := range map[string][]sample.Layer{
		"at opening":       {open},
		"while it is read": {broken.open, (&layer{plain: words(10), factor: 1}).open},
	} {
		if _, err := sample.Take(t.Context(), layers, clock()); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if broken.closed != 1 {
		t.Errorf("closed %d times", broken.closed)
	}
	empty := &layer{plain: new(bytes.Buffer), factor: 1}
	stopped := func() time.Time { return time.Time{} }
	for name, take := range map[string]func() (*sample.Result, error){
		"no layer":       func() (*sample.Result, error) { return sample.Take(t.Context(), nil, clock()) },
		"an empty layer": func() (*sample.Result, error) { return sample.Take(t.Context(), []sample.Layer{empty.open}, clock()) },
		"a clock that stops": func() (*sample.Result, error) {
			return sample.Take(t.Context(), []sample.Layer{(&layer{plain: words(10), factor: 1}).open}, stopped)
		},
	} {
		if res, err := take(); err == nil {
			t.Errorf("%s: %+v", name, res)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
