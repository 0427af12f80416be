// Package sample measures, on a little of what is to be mirrored, how fast it
// comes and what each compression level makes of it.
package sample

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nodeseal/nodeseal/bundle/seekable"
)

const (
	// perLayer bounds what is fetched of one layer, perPlain what is taken of
	// its plain bytes, in bytes.
	perLayer = 4 << 20
	perPlain = 8 << 20
	// perLevel bounds what each level compresses of a layer, in bytes: people wait for
	// a dry run, and the best level is a tenth as fast as the default.
	perLevel = 2 << 20
)

// Layer opens the plain bytes of a layer, and counts what it reads of the
// compressed ones for them.
type Layer func(ctx context.Context) (plain io.ReadCloser, compressed func() int64, err error)

// Result is what was measured.
type Result struct {
	// Rate is how many compressed bytes came a second, over all connections.
	Rate float64
	// Plain is how many plain bytes there are for one compressed byte.
	Plain  float64
	Levels []Level
}

// Level is one compression level.
type Level struct {
	Level int
	// Ratio is bytes of frames for one compressed byte; Speed is compressed
	// bytes a second that one processor turns into frames.
	Ratio, Speed float64
}

// errNothing: there is nothing to measure.
var errNothing = errors.New("no layer to sample")

type taken struct {
	plain      []byte
	compressed int64
}

// Take reads the beginnings of the layers, all at once, and compresses them at
// every level. now is the clock.
func Take(ctx context.Context, layers []Layer, now func() time.Time) (*Result, error) {
	got := make([]taken, len(layers))
	start := now()
	group, gctx := errgroup.WithContext(ctx)
	for i, open := range layers {
		group.Go(func() (err error) {
			got[i], err = read(gctx, open)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("sampling a layer: %w", err)
	}
	seconds := now().Sub(start).Seconds()
	var compressed, plain int64
	for _, t := range got {
		compressed += t.compressed
		plain += int64(len(t.plain))
	}
	if compressed == 0 || plain == 0 || seconds <= 0 {
		return nil, errNothing
	}
	res := &Result{Rate: float64(compressed) / seconds, Plain: float64(plain) / float64(compressed)}
	for level := 1; level <= seekable.MaxLevel; level++ {
		l, err := compress(ctx, level, got, res.Plain, now)
		if err != nil {
			return nil, err
		}
		res.Levels = append(res.Levels, l)
	}
	return res, nil
}

func read(ctx context.Context, open Layer) (_ taken, err error) {
	r, compressed, err := open(ctx)
	if err != nil {
		return taken{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var t taken
	buf := make([]byte, 64<<10)
	for len(t.plain) < perPlain && compressed() < perLayer {
		n, err := r.Read(buf)
		t.plain = append(t.plain, buf[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return taken{}, err
		}
	}
	t.compressed = compressed()
	return t, nil
}

// compress compresses the end of what was taken of each layer, where fewer
// directories are, at a level. plain is how many plain bytes there are for one
// compressed byte.
func compress(ctx context.Context, level int, got []taken, plain float64, now func() time.Time) (Level, error) {
	enc, err := seekable.NewEncoder(level, 1)
	if err != nil {
		return Level{}, err
	}
	var in, out int64
	start := now()
	for _, t := range got {
		some := t.plain[max(0, len(t.plain)-perLevel):]
		w := enc.NewWriter(ctx, io.Discard)
		_, werr := w.Write(some)
		frames, err := w.Close()
		if err := errors.Join(werr, err); err != nil {
			return Level{}, fmt.Errorf("compressing a sample: %w", err)
		}
		in += int64(len(some))
		for _, f := range frames {
			out += int64(f.Compressed)
		}
	}
	seconds := max(now().Sub(start).Seconds(), 1e-6)
	return Level{
		Level: level,
		Ratio: float64(out) / float64(in) * plain,
		Speed: float64(in) / plain / seconds,
	}, nil
}
