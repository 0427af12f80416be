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
	"golang.org/x/sys/unix"
)

// TestFrames measures what the size of frames and the window within them cost and
// gain at each level: on all layers, in processor time of what encodes and decodes alone.
func TestFrames(t *testing.T) {
	c := debian(t, 60)
	for _, shape := range []struct{ frame, window int }{{4, 4}, {8, 8}, {16, 16}, {32, 32}, {64, 64}, {16, 8}, {1, 1}} {
		for level := zstd.SpeedFastest; level <= zstd.SpeedBestCompression; level++ {
			t.Run(fmt.Sprintf("%s-%d-%d", level, shape.frame, shape.window), func(t *testing.T) {
				enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithWindowSize(shape.window<<20),
					zstd.WithEncoderCRC(true), zstd.WithSingleSegment(shape.window == shape.frame))
				check(t, err)
				tried := tryFrames(t, c, enc, shape.frame<<20)
				t.Logf("level %s, frames of %d MiB, window %d MiB: %.3f of gzip, encode %.0f, decode %.0f MB of plain data a second",
					level, shape.frame, shape.window, float64(tried.compressed.Load())/float64(c.compressed),
					1e3*float64(c.plain)/float64(tried.encode.Load()), 1e3*float64(c.plain)/float64(tried.decode.Load()))
			})
		}
	}
}

// tried is what came of a way to make frames: bytes, and nanoseconds of a processor.
type tried struct{ compressed, encode, decode atomic.Int64 }

// tryFrames makes frames of every layer.
func tryFrames(t testing.TB, c *corpus, enc *zstd.Encoder, size int) *tried {
	t.Helper()
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxWindow(64<<20))
	check(t, err)
	defer dec.Close()
	res := &tried{}
	onThreads(t, c, func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		content := make([]byte, size)
		var frame, plain []byte
		for {
			n, err := io.ReadFull(z, content)
			if n > 0 {
				start := threadTime()
				frame = enc.EncodeAll(content[:n], frame[:0])
				encoded := threadTime()
				var err error
				if plain, err = dec.DecodeAll(frame, plain[:0]); err != nil {
					return err
				}
				res.decode.Add(int64(threadTime() - encoded))
				res.encode.Add(int64(encoded - start))
				res.compressed.Add(int64(len(frame)))
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	return res
}

// onThreads does work for the compressed file of each layer, as many at once as there are
// processors, each on a thread that does nothing else meanwhile: see threadTime.
func onThreads(t testing.TB, c *corpus, work func(path string) error) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, l := range c.layers {
		g.Go(func() error {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			return work(filepath.Join(cacheDir(t), l.Digest.Encoded()))
		})
	}
	check(t, g.Wait())
}

// threadTime is the processor time that this thread took so far.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}
