package compression

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func plain(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + rnd.IntN(4))
	}
	return b
}

func packed(t testing.TB, data []byte, open func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := open(&buf)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func packZstd(t testing.TB, data []byte, opts ...zstd.EOption) []byte {
	return packed(t, data, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, opts...) })
}

// frame is a zstd frame that asks for a window of 2^log bytes, with blocks that repeat
// one byte (RFC 8878).
func frame(log, blocks int) []byte {
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, byte(log-10) << 3}
	for i := range blocks {
		head := 128<<10<<3 | 1<<1
		if i == blocks-1 {
			head |= 1
		}
		out = append(out, byte(head), byte(head>>8), byte(head>>16), 'x')
	}
	return out
}

// long is a zstd frame of 300 KiB of zeros that are not compressed.
func long() []byte {
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 10 << 3}
	const size = 100 << 10
	for i := range 3 {
		head := size << 3
		if i == 2 {
			head |= 1
		}
		out = append(append(out, byte(head), byte(head>>8), byte(head>>16)), make([]byte, size)...)
	}
	return out
}

// oneSegment is a zstd frame that looks back at all of its content.
func oneSegment(size uint32) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0}, size), 0x02, 0, 0x10, 'x') // a block of 128 KiB, not the last
}

func packXz(t testing.TB, data []byte, c xz.WriterConfig) []byte {
	return packed(t, data, func(w io.Writer) (io.WriteCloser, error) { return c.NewWriter(w) })
}

// largeDictionary makes the first block of a stream ask for 256 MiB. Its checksum is not
// compared.
func largeDictionary(stream []byte) []byte {
	i := bytes.Index(stream, []byte{0x21, 0x01})
	stream[i+2] = 32
	return stream
}

func TestReads(t *testing.T) {
	t.Parallel()
	data := plain(300 << 10)
	gz := packed(t, data, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
	for name, c := range map[string]struct {
		in   []byte
		kind Kind
		want []byte
	}{
		"plain":              {data, None, data},
		"nothing":            {nil, None, nil},
		"two bytes":          {[]byte("ab"), None, []byte("ab")},
		"gzip":               {gz, Gzip, data},
		"gzip twice":         {append(bytes.Clone(gz), gz...), Gzip, append(bytes.Clone(data), data...)},
		"zstd":               {packZstd(t, data), Zstd, data},
		"zstd, skippable":    {append([]byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc"), packZstd(t, data)...), Zstd, data},
		"zstd, 128 MiB":      {frame(27, 2), Zstd, bytes.Repeat([]byte("x"), 256<<10)},
		"zstd, large later":  {append(packZstd(t, data), frame(27, 2)...), Zstd, append(bytes.Clone(data), bytes.Repeat([]byte("x"), 256<<10)...)},
		"zstd, 32 MiB later": {slices.Concat(packZstd(t, data), long(), frame(25, 2)), Zstd, slices.Concat(data, make([]byte, 300<<10), bytes.Repeat([]byte("x"), 256<<10))},
		"xz":                 {packXz(t, data, xz.WriterConfig{}), Xz, data},
		"xz, blocks":         {packXz(t, data, xz.WriterConfig{BlockSize: 100 << 10}), Xz, data},
		"xz, no check":       {packXz(t, data, xz.WriterConfig{NoCheckSum: true}), Xz, data},
		"xz, sha256":         {packXz(t, data[:100], xz.WriterConfig{CheckSum: xz.SHA256}), Xz, data[:100]},
		"xz, empty":          {packXz(t, nil, xz.WriterConfig{}), Xz, nil},
		"xz, 40 MiB":         {packXz(t, data[:1000], xz.WriterConfig{DictCap: 40 << 20}), Xz, data[:1000]},
		"xz, two streams":    {append(append(packXz(t, data[:77], xz.WriterConfig{}), make([]byte, 8)...), packXz(t, data[77:200], xz.WriterConfig{})...), Xz, data[:200]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := NewReader(t.Context(), bytes.NewReader(c.in))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, c.want) || r.Kind != c.kind {
				t.Errorf("%q, %d bytes, %v, want %q, %d bytes", r.Kind, len(got), err, c.kind, len(c.want))
			}
		})
	}
}

// What other programs pack is read; they are skipped where they are not installed.
func TestOtherPrograms(t *testing.T) {
	t.Parallel()
	data := plain(500 << 10)
	for _, c := range []struct {
		command string
		kind    Kind
	}{
		{"xz -9 -c", Xz}, {"xz -T2 --block-size=300KiB -c", Xz}, {"xz --check=crc32 -0 -c", Xz},
		{"bzip2 -c", Bzip2}, {"zstd --long=27 -c", Zstd}, {"zstd -22 --ultra -c", Zstd}, {"gzip -c", Gzip},
	} {
		t.Run(c.command, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(c.command)
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Skip(err)
			}
			cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
			cmd.Stdin = bytes.NewReader(data)
			in, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			r, err := NewReader(t.Context(), bytes.NewReader(in))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) || r.Kind != c.kind {
				t.Errorf("%q, %d bytes, %v", r.Kind, len(got), err)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	data := plain(50 << 10)
	x := packXz(t, data, xz.WriterConfig{})
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"zstd, 256 MiB":              {frame(28, 2), ErrWindow},
		"zstd, large later":          {append(long(), frame(24, 2)...), ErrWindow},
		"zstd, 4 GiB in one segment": {oneSegment(1<<32 - 1), ErrWindow},
		"zstd, 4 GiB in one, later":  {append(long(), oneSegment(1<<32-1)...), ErrWindow},
		"xz, larger later":           {append(packXz(t, data, xz.WriterConfig{}), packXz(t, data, xz.WriterConfig{DictCap: 40 << 20})...), ErrWindow},
		"xz, 256 MiB":                {largeDictionary(packXz(t, data[:1000], xz.WriterConfig{})), ErrWindow},
		"xz, cut":                    {x[:len(x)/2], io.ErrUnexpectedEOF},
		"xz, no index":               {x[:len(x)-30], io.ErrUnexpectedEOF},
		"gzip, cut":                  {[]byte("\x1f\x8b\x08\x00"), io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := NewReader(t.Context(), bytes.NewReader(c.in))
			if err == nil {
				defer r.Close()
				_, err = io.Copy(io.Discard, struct{ io.Reader }{r})
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// The reader's own error is passed on.
func TestSourceFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection is gone")
	for _, in := range [][]byte{nil, packXz(t, plain(1000), xz.WriterConfig{})[:200], packZstd(t, plain(1000))[:100]} {
		r, err := NewReader(t.Context(), io.MultiReader(bytes.NewReader(in), failing{broken}))
		if err == nil {
			_, err = io.ReadAll(r)
			r.Close()
		}
		if !errors.Is(err, broken) {
			t.Errorf("%d bytes: %v", len(in), err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Readers share the budget: one has a large window, or many have small ones; the next one
// waits until another is closed.
func TestBudget(t *testing.T) {
	data := plain(300 << 10)
	for name, c := range map[string]struct {
		in      []byte
		readers int
	}{
		"128 MiB":                        {frame(27, 2000), 1},
		"64 MiB":                         {frame(26, 2000), 2},
		"a window as large as the layer": {packZstd(t, plain(40<<20), zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(true), zstd.WithZeroFrames(true)), 2},
		"8 MiB":                          {packZstd(t, bytes.Repeat(data, 10)), 16},
		"several frames":                 {append(packZstd(t, data), bytes.Repeat(packZstd(t, data), 9)...), 4},
		"xz":                             {packXz(t, data, xz.WriterConfig{}), 4},
	} {
		t.Run(name, func(t *testing.T) {
			var open []*Reader
			for range c.readers {
				r, err := NewReader(t.Context(), bytes.NewReader(c.in))
				if err != nil {
					t.Fatal(err)
				}
				open = append(open, r)
			}
			next := make(chan error)
			go func() {
				r, err := NewReader(t.Context(), bytes.NewReader(c.in))
				if err == nil {
					r.Close()
				}
				next <- err
			}()
			select {
			case err := <-next:
				t.Fatalf("%d readers and one more have windows: %v", c.readers, err)
			case <-time.After(50 * time.Millisecond):
			}
			for _, r := range open {
				r.Close()
				r.Close()
			}
			if err := <-next; err != nil {
				t.Error(err)
			}
		})
	}
}

// A large window takes its own length of memory, not twice that.
func TestMemory(t *testing.T) {
	in := frame(27, 3000) // 375 MiB
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := NewReader(t.Context(), bytes.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.CopyN(io.Discard, struct{ io.Reader }{r}, 374<<20)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if took := int64(after.HeapAlloc) - int64(before.HeapAlloc); err != nil || took > 150<<20 || took < 100<<20 {
		t.Errorf("%d bytes took %d MiB of memory: %v", n, took>>20, err)
	}
	r.Close()
}

func FuzzXz(f *testing.F) {
	for _, c := range []xz.WriterConfig{{}, {BlockSize: 100}, {NoCheckSum: true}} {
		f.Add(packXz(f, plain(500), c))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := NewReader(t.Context(), bytes.NewReader(append([]byte(xzMagic), in...)))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<20))
		r.Close()
	})
}

// A Reader that waited for memory when the work ended is an error, like any other.
func TestEndsWhileItWaits(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, in := range map[string][]byte{
		"zstd":  frame(27, 2),
		"xz":    packXz(t, plain(100), xz.WriterConfig{}),
		"bzip2": []byte("BZh91AY&SY"),
	} {
		if _, err := NewReader(ctx, bytes.NewReader(in)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
