package seekable

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

// TestStore holds stored frames to the library that decodes them, whose check of the
// content's hash is what holds xxh64.
func TestStore(t *testing.T) {
	t.Parallel()
	content := noise(FrameSize + 300_000)
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	sizes := []int{0, 1, 3, 4, 7, 8, 31, 32, 33, 63, 255, 512, storedBlock, storedBlock + 1, 3*storedBlock + 5, FrameSize, len(content)}
	for _, n := range sizes {
		for name, wrap := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "end with data": iotest.DataErrReader} {
			r, frames, err := Store(wrap(bytes.NewReader(content[:n])), int64(n))
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatalf("%d bytes, %s: %v", n, name, err)
			}
			var off int64
			var plain []byte
			for i, f := range frames {
				got, err := Scan(bytes.NewReader(data), off, int64(len(data)))
				if err != nil || got != f {
					t.Fatalf("%d bytes, %s: frame %d is %+v, said to be %+v: %v", n, name, i, got, f, err)
				}
				if plain, err = dec.DecodeAll(data[off:off+f.Compressed], plain); err != nil {
					t.Fatalf("%d bytes, %s: frame %d: %v", n, name, i, err)
				}
				off += f.Compressed
			}
			if off != int64(len(data)) || !bytes.Equal(plain, content[:n]) {
				t.Errorf("%d bytes, %s: %d bytes of frames, want %d; content is right: %t", n, name, len(data), off, bytes.Equal(plain, content[:n]))
			}
		}
	}
}

func TestStoreEndsEarly(t *testing.T) {
	t.Parallel()
	r, _, _ := Store(bytes.NewReader(make([]byte, 99)), 100)
	if _, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("content that ends early: %v", err)
	}
	broken := errors.New("broken disk")
	r, _, _ = Store(iotest.ErrReader(broken), 100)
	if _, err := io.ReadAll(r); !errors.Is(err, broken) {
		t.Errorf("content that cannot be read: %v", err)
	}
}

func TestIsCompressed(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]bool{
		"\x1f\x8b\x08\x00": true, "\x28\xb5\x2f\xfd": true, "\x50\x2a\x4d\x18": true, "\x5f\x2a\x4d\x18": true,
		"": false, "\x1f": false, "usr/": false, "\x60\x2a\x4d\x18": false,
	} {
		if got := IsCompressed([]byte(head)); got != want {
			t.Errorf("%q: %t, want %t", head, got, want)
		}
	}
}
