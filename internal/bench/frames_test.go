//go:build bench

package bench

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// TestFrames measures what the size of frames costs and gains at each level: on
// every twelfth layer, with one processor.
func TestFrames(t *testing.T) {
	c := debian(t, 60)
	for _, mib := range []int{4, 8, 16, 2} {
		for level := zstd.SpeedFastest; level <= zstd.SpeedBestCompression; level++ {
			enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
				zstd.WithEncoderCRC(true), zstd.WithSingleSegment(true))
			check(t, err)
			var plain, compressed, gz int64
			var took time.Duration
			for i := 0; i < len(c.layers); i += 12 {
				gz += c.layers[i].Size
				f, err := os.Open(filepath.Join(cacheDir(t), c.layers[i].Digest.Encoded()))
				check(t, err)
				z, err := gzip.NewReader(f)
				check(t, err)
				buf := make([]byte, mib<<20)
				for {
					n, err := io.ReadFull(z, buf)
					start := time.Now()
					compressed += int64(len(enc.EncodeAll(buf[:n], nil)))
					took += time.Since(start)
					plain += int64(n)
					if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
						break
					}
					check(t, err)
				}
				check(t, f.Close())
			}
			t.Logf("frames of %2d MiB, level %-8s %.3f of gzip, %4.0f MB/s of plain data", mib, level,
				float64(compressed)/float64(gz), float64(plain)/1e6/took.Seconds())
		}
	}
}
