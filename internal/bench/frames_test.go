//go:build bench

package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/nodeseal/nodeseal/bundle/seekable"
)

// frameChoice is a way to make frames, and what came of it.
type frameChoice struct {
	enc                        *zstd.Encoder
	size                       int
	compressed, encode, decode atomic.Int64 // bytes, nanoseconds, nanoseconds
}

// TestFrames measures what the size of frames and the window within them cost and
// gain at each level: on all layers, a processor for each. The size of the window is that
// of the frame, where nothing else is said.
func TestFrames(t *testing.T) {
	c := debian(t, 60)
	for _, shape := range []struct{ frame, window int }{{1, 1}, {4, 4}, {8, 8}, {16, 16}, {16, 8}, {16, 4}} {
		name := fmt.Sprintf("frame %d MiB window %d MiB", shape.frame, shape.window)
		t.Run(name, func(t *testing.T) {
			var choices []*frameChoice
			for level := zstd.SpeedFastest; level <= zstd.SpeedBestCompression; level++ {
				enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithWindowSize(shape.window<<20),
					zstd.WithEncoderCRC(true), zstd.WithSingleSegment(shape.window == shape.frame))
				check(t, err)
				choices = append(choices, &frameChoice{enc: enc, size: shape.frame << 20})
			}
			tryChoices(t, c, choices)
			for i, ch := range choices {
				t.Logf("%s, level %-8s %.3f of gzip, encode %4.0f, decode %4.0f MB/s of plain data", name, zstd.EncoderLevel(i+1),
					float64(ch.compressed.Load())/float64(c.compressed), 1e3*float64(c.plain)/float64(ch.encode.Load()),
					1e3*float64(c.plain)/float64(ch.decode.Load()))
			}
		})
	}
}

// tryChoices makes frames of every layer in all ways.
func tryChoices(t testing.TB, c *corpus, choices []*frameChoice) {
	t.Helper()
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxWindow(seekable.MaxFrame))
	check(t, err)
	defer dec.Close()
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, l := range c.layers {
		g.Go(func() error {
			f, err := os.Open(filepath.Join(cacheDir(t), l.Digest.Encoded()))
			if err != nil {
				return err
			}
			defer f.Close()
			z, err := gzip.NewReader(f)
			if err != nil {
				return err
			}
			buf := make([]byte, seekable.MaxFrame)
			for {
				n, err := io.ReadFull(z, buf)
				if err := tryFrames(dec, buf[:n], choices); err != nil {
					return err
				}
				if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
					return nil
				}
				if err != nil {
					return err
				}
			}
		})
	}
	check(t, g.Wait())
}

func tryFrames(dec *zstd.Decoder, content []byte, choices []*frameChoice) error {
	var frame, plain []byte
	for _, ch := range choices {
		for rest := content; len(rest) > 0; {
			n := min(len(rest), ch.size)
			start := time.Now()
			frame = ch.enc.EncodeAll(rest[:n], frame[:0])
			encoded := time.Now()
			var err error
			if plain, err = dec.DecodeAll(frame, plain[:0]); err != nil {
				return err
			}
			ch.decode.Add(int64(time.Since(encoded)))
			ch.encode.Add(int64(encoded.Sub(start)))
			ch.compressed.Add(int64(len(frame)))
			rest = rest[n:]
		}
	}
	return nil
}
