package delta

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle/delta"
)

// oldFiles gives one file for all.
type oldFiles []byte

func (o oldFiles) OpenOld(digest.Digest, delta.File) (delta.OldFile, error) {
	return struct {
		io.ReaderAt
		io.Closer
	}{bytes.NewReader(o), io.NopCloser(nil)}, nil
}

func roundTrip(t testing.TB, old, now []byte) int {
	t.Helper()
	var buf bytes.Buffer
	w, err := delta.NewWriter(&buf, int64(len(now)), []digest.Digest{digest.FromString("layer")})
	if err != nil {
		t.Fatal(err)
	}
	ops, err := Compare(t.Context(), old, now)
	if err != nil {
		t.Fatal(err)
	}
	err = w.Changed(delta.File{Path: "usr/bin/program", Size: int64(len(old))}, delta.Change{
		Old: old, Now: now, Ops: ops, OldRanges: Ranges(old), NowRanges: Ranges(now),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	n := buf.Len()
	r, err := delta.NewReader(&buf, int64(len(now)), oldFiles(old))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, now) {
		t.Fatal("the delta makes another file")
	}
	return n
}

// mutate changes, inserts, deletes and moves pieces.
func mutate(rnd *rand.Rand, old []byte) []byte {
	now := bytes.Clone(old)
	for range rnd.IntN(40) {
		if len(now) == 0 {
			break
		}
		at := rnd.IntN(len(now))
		n := rnd.IntN(min(5000, len(now)-at) + 1)
		switch rnd.IntN(4) {
		case 0:
			now = append(now[:at:at], now[at+n:]...)
		case 1:
			now = append(now[:at:at], append(bytes.Clone(now[at:at+n]), now[at:]...)...)
		case 2:
			for i := at; i < at+n; i += 1 + rnd.IntN(30) {
				now[i] += byte(rnd.IntN(4))
			}
		case 3:
			for i := range n {
				now[at+i] = byte(rnd.Uint32())
			}
		}
	}
	return now
}

func TestCompare(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		old := make([]byte, rnd.IntN(200_000))
		for i := range old {
			old[i] = byte(rnd.Uint32() >> (rnd.Uint32() % 8))
		}
		if now := mutate(rnd, old); len(now) > 0 {
			roundTrip(t, old, now)
		}
	}
	roundTrip(t, nil, []byte("new"))
	long := make([]byte, 9<<20)
	for i := range long {
		long[i] = byte(rnd.Uint32())
	}
	if n := roundTrip(t, long, append([]byte("more"), long...)); n > 500 {
		t.Errorf("four bytes more take %d", n)
	}
	all := make([]byte, 1<<20)
	for i := range all {
		all[i] = long[i] + byte(i%3) + 1 // not one byte agrees
	}
	roundTrip(t, long, all)
}

// TestCompareWork: files in which as much agrees as differs, everywhere, are told in a time that
// is bounded by their length.
func TestCompareWork(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	record := func(least byte) []byte {
		r := []byte("tagA....")
		for i := range 4 {
			r[4+i] = least + byte(rnd.Uint32()%128)
		}
		return r
	}
	seed := append(record(0), record(0)...)
	old := bytes.Clone(seed)
	for range 1 << 17 {
		old = append(old, record(128)...)
	}
	now := append([]byte("x"), bytes.Repeat(seed, 1<<16)...)
	m := &matcher{index: newIndex(old), now: now}
	if err := m.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.work > 2*maxWork*len(now) {
		t.Errorf("%d bytes were looked at for %d", m.work, len(now))
	}
	t.Logf("%d bytes were looked at for %d", m.work, len(now))
	roundTrip(t, old, now)
}

// TestCompareEnds: it ends when it is to end, within a file.
func TestCompareEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	data := make([]byte, 4<<20)
	if _, err := Compare(ctx, nil, data); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestCompareMostPieces: a file of more pieces than are kept is told whole, the rest as it is.
func TestCompareMostPieces(t *testing.T) {
	t.Parallel()
	m := &matcher{index: newIndex(nil)}
	at := 0
	for range maxOps + 1000 {
		m.flush(match{at, at + 16, 0}, at+20)
		at += 20
	}
	m.flush(match{}, 0) // nothing
	var sum int64
	for _, o := range m.ops {
		sum += o.Copy + o.Literal
	}
	if len(m.ops) != maxOps || sum != int64(at) {
		t.Errorf("%d pieces of %d bytes, want %d of %d", len(m.ops), sum, maxOps, at)
	}
}

// TestStride holds that the place of every position fits into a slot, which has one more than the
// position's number, also where the file is as long as a stride can be for.
func TestStride(t *testing.T) {
	t.Parallel()
	for stride := 4; stride <= 256; stride *= 2 {
		for n := maxSlots*stride - 4*stride; n <= maxSlots*stride+4*stride; n++ {
			is := strideOf(n)
			if last := (n-hashLen)/is + 1; last >= maxSlots {
				t.Fatalf("%d bytes, in steps of %d: the last place is %d", n, is, last)
			}
			if is > 4 && n/(is/2)+1 < maxSlots {
				t.Fatalf("%d bytes: steps of %d are longer than they must be", n, is)
			}
		}
	}
}
