package compression

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// What is decoded is as long as its reader lets it be; the decoder has a bound of its own.
func FuzzReader(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte("BZh91AY&SY"))
	for _, w := range []func(io.Writer) (io.WriteCloser, error){
		func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithWindowSize(8<<20)) },
		func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
	} {
		var packed bytes.Buffer
		z, err := w(&packed)
		if err == nil {
			_, err = z.Write(make([]byte, 1<<20))
		}
		if err == nil {
			err = z.Close()
		}
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		memtest.Hold(t, MaxWindow+32<<20, func() {
			r, err := NewReader(t.Context(), bytes.NewReader(data))
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, io.LimitReader(r, 4<<20))
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}
