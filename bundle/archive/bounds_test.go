package archive_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

// sparse is a file of zeros with some bytes at its end.
type sparse struct {
	size int64
	end  []byte
}

// ReadAt implements io.ReaderAt.
func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	n := min(int64(len(p)), s.size-off)
	clear(p[:n])
	if tail := off + n - (s.size - int64(len(s.end))); tail > 0 {
		k := min(tail, n)
		copy(p[n-k:n], s.end[tail-k:])
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// A sparse file takes no disk, and a seek table of entries that say nothing no memory.
func TestSeekTableOfZeros(t *testing.T) {
	for _, count := range []uint32{math.MaxUint32, 1<<26 - 1, 1<<20 + 1, 1 << 20} {
		end := binary.LittleEndian.AppendUint32(nil, count)
		end = binary.LittleEndian.AppendUint32(append(end, 0), 0x8F92EAB1)
		file := sparse{size: 64 << 30, end: end}
		var opened, verified error
		took := memtest.Allocated(func() {
			_, opened = archive.NewReader(t.Context(), file, file.size)
			_, verified = archive.Verify(t.Context(), file, file.size, archive.VerifyOptions{Jobs: 2})
		})
		if !errors.Is(opened, bundle.ErrDamaged) || !errors.Is(verified, bundle.ErrDamaged) || took > 16<<20 {
			t.Errorf("%d entries: %d MiB, %v, %v", count, took>>20, opened, verified)
		}
	}
}

// A skippable frame of 4 GiB in a sparse file without a seek table is not read into memory.
func TestLongSkippableFrame(t *testing.T) {
	data := writeSample(t, 1, 1000)
	head := binary.LittleEndian.AppendUint32(nil, 0x184D2A50)
	head = binary.LittleEndian.AppendUint32(head, math.MaxUint32)
	file := io.NewSectionReader(readers{data, head}, 0, 8<<30)
	took := memtest.Allocated(func() {
		rep, err := archive.Verify(t.Context(), file, 8<<30, archive.VerifyOptions{Jobs: 2})
		if err != nil || len(rep.Damage) == 0 {
			t.Errorf("%v, %+v", err, rep)
		}
	})
	if took > 256<<20 {
		t.Errorf("it took %d MiB", took>>20)
	}
}

// readers are a file's first bytes, others behind them, and zeros.
type readers struct{ first, second []byte }

// ReadAt implements io.ReaderAt.
func (r readers) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	all := append(bytes.Clone(r.first), r.second...)
	if off < int64(len(all)) {
		copy(p, all[off:])
	}
	return len(p), nil
}

// Sizes near 2^63 are refused, also where the members are looked for without a seek table.
func TestSizesNearTheEnd(t *testing.T) {
	t.Parallel()
	s, enc := newSample(t, 1, 1000)
	dec, err := zstd.NewReader(nil)
	must(t, err)
	defer dec.Close()
	tar, err := dec.DecodeAll(written(t, s, enc).Bytes(), nil)
	must(t, err)
	at := bytes.Index(tar, []byte(`"kind": "layer"`))
	line := bytes.LastIndex(tar[:at], []byte(`"size": `)) + len(`"size": `)
	end := line + bytes.IndexByte(tar[line:], ',')
	// The number grows at the cost of the indentation before it.
	number := "9223372036854775000"
	long := bytes.Clone(tar)
	digits := end - line
	room := len(number) - digits
	text := string(long[:end])
	for ; room > 0; room-- {
		text = text[:strings.LastIndex(text[:at-200], "\n  ")+1] + text[strings.LastIndex(text[:at-200], "\n  ")+2:]
	}
	copy(long, text[:len(text)-digits]+number)
	file := packed(t, enc, long, 4096)
	for _, file := range [][]byte{file, file[:len(file)-4]} {
		if _, err := archive.Verify(t.Context(), bytes.NewReader(file), int64(len(file)), archive.VerifyOptions{}); !errors.Is(err, bundle.ErrInventory) {
			t.Errorf("verified: %v", err)
		}
	}
}
