package delta

import (
	"bytes"
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
	err = w.Changed(delta.File{Path: "usr/bin/program", Size: int64(len(old))}, delta.Change{
		Old: old, Now: now, Ops: Compare(old, now), OldRanges: Ranges(old), NowRanges: Ranges(now),
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
