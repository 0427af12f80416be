package crc64iso_test

import (
	"hash/crc64"
	"math/rand/v2"
	"testing"

	"github.com/nodeseal/nodeseal/internal/crc64iso"
)

// TestAsStandard compares with hash/crc64: all short lengths, and pieces of a long one.
func TestAsStandard(t *testing.T) {
	t.Parallel()
	table := crc64.MakeTable(crc64.ISO)
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 1<<16)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	for n := range 600 {
		for _, from := range []int{0, 1, 7, 4096} {
			start := r.Uint64()
			want := crc64.Update(start, table, b[from:from+n])
			if got := crc64iso.Update(start, b[from:from+n]); got != want {
				t.Fatalf("%d bytes from %d: %x, want %x", n, from, got, want)
			}
			if got := crc64iso.UpdateByWords(start, b[from:from+n]); got != want {
				t.Fatalf("%d bytes from %d, by words: %x, want %x", n, from, got, want)
			}
		}
	}
	h, want := crc64iso.New(), crc64.New(table)
	for range 2 {
		for rest := b; len(rest) > 0; {
			n := min(len(rest), r.IntN(5000))
			h.Write(rest[:n])
			rest = rest[n:]
		}
		want.Write(b)
		if h.Sum64() != want.Sum64() || string(h.Sum([]byte("x"))) != string(want.Sum([]byte("x"))) || h.Size() != want.Size() {
			t.Fatalf("sum %x, want %x", h.Sum64(), want.Sum64())
		}
		h.Reset()
		want.Reset()
	}
}

func FuzzUpdate(f *testing.F) {
	table := crc64.MakeTable(crc64.ISO)
	f.Add(uint64(0), []byte("123456789"))
	f.Add(^uint64(0), make([]byte, 200))
	f.Fuzz(func(t *testing.T, crc uint64, b []byte) {
		want := crc64.Update(crc, table, b)
		if got := crc64iso.Update(crc, b); got != want {
			t.Errorf("%x, want %x", got, want)
		}
		if got := crc64iso.UpdateByWords(crc, b); got != want {
			t.Errorf("by words: %x, want %x", got, want)
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	table := crc64.MakeTable(crc64.ISO)
	data := make([]byte, 64<<10)
	for name, update := range map[string]func(uint64, []byte) uint64{
		"here":     crc64iso.Update,
		"by words": crc64iso.UpdateByWords,
		"standard": func(crc uint64, p []byte) uint64 { return crc64.Update(crc, table, p) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				update(0, data)
			}
		})
	}
}
