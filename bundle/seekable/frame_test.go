package seekable

import (
	"bytes"
	"errors"
	"github.com/nodeseal/nodeseal/internal/memtest"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/nodeseal/nodeseal/bundle"
)

// Reading a seek table never panics, and what it accepts accounts for all bytes.
func FuzzTable(f *testing.F) {
	frames := []Frame{{Compressed: 20, Content: 100}, {Compressed: int64(checksumFrameLen)}}
	table, err := AppendTable(AppendChecksum(make([]byte, 20), [32]byte{}), frames)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(table)
	f.Add(table[:len(table)-1])
	f.Add([]byte("\x5e\x2a\x4d\x18"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var got []Frame
		var err error
		memtest.Hold(t, 4*int64(len(data))+8<<20, func() { got, err = ReadTable(bytes.NewReader(data), int64(len(data))) })
		if err != nil {
			if !errors.Is(err, bundle.ErrDamaged) {
				t.Fatalf("an error of its own: %v", err)
			}
			return
		}
		tail, err := AppendTable(nil, got)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(data, tail) {
			t.Error("the table does not come back")
		}
		var sum int64
		for _, fr := range got {
			sum += fr.Compressed
		}
		if sum+int64(len(tail)) != int64(len(data)) {
			t.Errorf("%d bytes in frames, %d in the table, %d in the file", sum, len(tail), len(data))
		}
	})
}

// What Scan measures from the headers is what decoding takes and gives.
func FuzzScan(f *testing.F) {
	enc, err := NewEncoder(0, 1)
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range []int{0, 1, 10, 300, 70_000, 200_000} {
		f.Add(enc.Encode(bytes.Repeat([]byte("nodeseal "), n), nil), 3)
		f.Add(enc.Encode(make([]byte, n), nil), 0)
	}
	f.Add(AppendChecksum(nil, [32]byte{1}), 0)
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(MaxFrame), zstd.WithDecoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, behind int) {
		whole := append(bytes.Clone(data), make([]byte, behind&0xff)...)
		var is Frame
		var err error
		memtest.Hold(t, 8<<20, func() { is, err = Scan(bytes.NewReader(whole), 0, int64(len(whole))) })
		if err != nil {
			if !errors.Is(err, bundle.ErrDamaged) {
				t.Fatalf("an error of its own: %v", err)
			}
			return
		}
		if is.Compressed > int64(len(whole)) || is.Content > MaxFrame {
			t.Fatalf("measured %+v of %d bytes", is, len(whole))
		}
		if content, err := dec.DecodeAll(whole[:is.Compressed], nil); err == nil && int64(len(content)) != is.Content {
			t.Errorf("measured %+v, decoded %d bytes", is, len(content))
		}
	})
}

// Frames of an encoder are measured right whatever their content.
func TestScan(t *testing.T) {
	t.Parallel()
	enc, err := NewEncoder(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 255, 256, 65_791, 65_792, 1 << 20, FrameSize} {
		for name, content := range map[string][]byte{"zeros": make([]byte, n), "noise": noise(n)} {
			data := enc.Encode(content, nil)
			got, err := Scan(bytes.NewReader(data), 0, int64(len(data)))
			if err != nil || got != (Frame{Compressed: int64(len(data)), Content: int64(n)}) {
				t.Errorf("%d bytes of %s in %d: %+v, %v", n, name, len(data), got, err)
			}
		}
	}
}

// noise returns n bytes that do not compress: a xorshift sequence.
func noise(n int) []byte {
	out := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range out {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		out[i] = byte(x)
	}
	return out
}
