package delta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// maxLiteral is how many new bytes a Writer collects for one record.
const maxLiteral = 256 << 10

// Writer writes a delta. It is for one goroutine. Its first error stays.
type Writer struct {
	z       *zstd.Encoder
	err     error
	literal []byte
	end     int64 // of the last file that was referred to
	buf     []byte

	addresses              addresses
	recent                 recent
	gaps, symbols, escapes []byte
	lit                    []byte
}

// NewWriter begins the delta of a plain tar of size bytes, against layers. The same calls give the
// same bytes. The caller calls Close.
func NewWriter(w io.Writer, size int64, layers []digest.Digest) (*Writer, error) {
	if len(layers) > MaxLayers {
		return nil, fmt.Errorf("a delta against %d layers, at most %d are possible", len(layers), MaxLayers)
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithWindowSize(Window), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("zstd encoder: %w", err)
	}
	d := &Writer{z: z}
	d.buf = append(d.buf, magic...)
	d.uvarint(size)
	d.uvarint(int64(len(layers)))
	for _, l := range layers {
		raw, err := rawDigest(l)
		if err != nil {
			return nil, err
		}
		d.buf = append(d.buf, raw...)
	}
	return d, d.flush()
}

func (d *Writer) uvarint(n int64) { d.buf = binary.AppendUvarint(d.buf, uint64(n)) }

// flush passes on what was collected.
func (d *Writer) flush() error {
	d.write(d.buf)
	d.buf = d.buf[:0]
	return d.err
}

func (d *Writer) write(p []byte) {
	if d.err == nil {
		_, d.err = d.z.Write(p)
	}
}

// Write implements io.Writer: bytes that no older layer has.
func (d *Writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && d.err == nil {
		take := min(len(p), maxLiteral-len(d.literal))
		d.literal = append(d.literal, p[:take]...)
		p = p[take:]
		if len(d.literal) == maxLiteral {
			d.endLiteral()
		}
	}
	return n, d.err
}

func (d *Writer) endLiteral() {
	if len(d.literal) == 0 {
		return
	}
	d.buf = append(d.buf, recordLiteral)
	d.uvarint(int64(len(d.literal)))
	d.buf = append(d.buf, d.literal...)
	d.literal = d.literal[:0]
	_ = d.flush() // the error stays
}

func (d *Writer) file(kind byte, f File) {
	d.endLiteral()
	d.buf = append(d.buf, kind)
	d.uvarint(int64(f.Layer))
	d.uvarint(int64(len(f.Path)))
	d.buf = append(d.buf, f.Path...)
	d.buf = binary.AppendVarint(d.buf, f.Offset-d.end)
	d.uvarint(f.Size)
	d.end = f.Offset + f.Size
}

// Equal writes the whole content of an old file.
func (d *Writer) Equal(f File) error {
	d.file(recordEqual, f)
	return d.flush()
}

// Change is a new file that resembles an old one.
type Change struct {
	// Old and Now are their contents. Ops make the whole of Now.
	Old, Now []byte
	Ops      []Op
	// OldRanges and NowRanges are where programs are in memory. They are a hint.
	OldRanges, NowRanges []Range
}

// Changed writes a new file, which is not empty, as what differs from an old one.
func (d *Writer) Changed(f File, c Change) error {
	d.file(recordChanged, f)
	d.ranges(c.OldRanges)
	d.ranges(c.NowRanges)
	d.addresses.old, d.addresses.now = c.OldRanges, c.NowRanges
	d.recent.n = 0
	var at, end int64
	for ops := c.Ops; len(ops) > 0; {
		section := ops[:min(len(ops), MaxOps)]
		ops = ops[len(section):]
		d.uvarint(int64(len(section)))
		d.addresses.set(section, at)
		for _, o := range section {
			d.uvarint(o.Copy)
			d.uvarint(o.Literal)
			d.buf = binary.AppendVarint(d.buf, o.Old-end)
			end = o.Old + o.Copy
		}
		at = d.section(section, c, at)
	}
	d.uvarint(0)
	if at != int64(len(c.Now)) {
		d.err = errors.Join(d.err, fmt.Errorf("pieces of %d bytes make a file of %d", at, len(c.Now)))
	}
	return d.flush()
}

func (d *Writer) ranges(ranges []Range) {
	d.uvarint(int64(len(ranges)))
	for _, r := range ranges {
		d.uvarint(r.Addr)
		d.uvarint(r.Off)
		d.uvarint(r.Len)
	}
}

// section writes the chunks of some pieces and returns where they end.
func (d *Writer) section(ops []Op, c Change, at int64) int64 {
	var length, gap int64 // of the chunk; since its last difference
	chunk := func() {
		if length == 0 {
			return
		}
		d.uvarint(length)
		d.buf = append(d.buf, d.lit...)
		d.block(d.symbols)
		d.block(d.gaps)
		d.block(d.escapes)
		d.lit, d.symbols, d.gaps, d.escapes = d.lit[:0], d.symbols[:0], d.gaps[:0], d.escapes[:0]
		length, gap = 0, 0
		_ = d.flush() // the error stays
	}
	for _, o := range ops {
		old := o.Old
		for left := o.Copy; left > 0; {
			n := min(left, maxChunk-length, 64<<10)
			d.differences(c.Old, c.Now, old, at, n, &gap)
			old, at, left, length = old+n, at+n, left-n, length+n
			if length == maxChunk || len(d.symbols) > maxGroups-(64<<10) {
				chunk()
			}
		}
		for left := o.Literal; left > 0; {
			n := min(left, maxChunk-length)
			d.lit = append(d.lit, c.Now[at:at+n]...)
			at, left, length = at+n, left-n, length+n
			if length == maxChunk {
				chunk()
			}
		}
	}
	chunk()
	return at
}

// block writes bytes behind their number.
func (d *Writer) block(p []byte) {
	d.uvarint(int64(len(p)))
	d.buf = append(d.buf, p...)
}

// differences tells n bytes of the new file at at by those of the old one.
func (d *Writer) differences(old, now []byte, from, at, n int64, gap *int64) {
	ref, is := old[from:from+n], now[at:at+n]
	for i := 0; i < len(is); {
		if is[i] == ref[i] {
			if i+8 <= len(is) && binary.LittleEndian.Uint64(is[i:]) == binary.LittleEndian.Uint64(ref[i:]) {
				i += 8
				*gap += 8
				continue
			}
			i++
			*gap++
			continue
		}
		d.gaps = binary.AppendUvarint(d.gaps, uint64(*gap))
		*gap = 0
		i += d.difference(ref, is, i, from, at)
	}
}

// difference tells the bytes from i on, the first of which differs, and returns how many they are.
func (d *Writer) difference(ref, is []byte, i int, from, at int64) int {
	if i+4 > len(is) {
		d.symbols = append(d.symbols, symByte)
		d.escapes = append(d.escapes, is[i]-ref[i])
		return 1
	}
	for k := 0; k < 4 && k <= i; k++ {
		var field [4]byte // as a reader has it now
		copy(field[:k], is[i-k:i])
		copy(field[k:], ref[i:i-k+4])
		w, want := word(field[:]), word(is[i-k:])
		if v, ok := d.addresses.absolute(w); ok && v == want {
			d.symbols = append(d.symbols, symAbsolute+byte(k))
			return 4 - k
		}
		if v, ok := d.addresses.relative(w, from+int64(i-k), at+int64(i-k)); ok && v == want {
			d.symbols = append(d.symbols, symRelative+byte(k))
			return 4 - k
		}
	}
	v := word(is[i:]) - word(ref[i:])
	if r := d.recent.find(v); r >= 0 {
		d.recent.use(r)
		d.symbols = append(d.symbols, byte(r))
		return 4
	}
	d.recent.add(v)
	switch {
	case v < 1<<8:
		d.symbols = append(d.symbols, symWord8)
		d.escapes = append(d.escapes, byte(v))
	case int32(v) == int32(int16(v)):
		d.symbols = append(d.symbols, symWord16)
		d.escapes = binary.LittleEndian.AppendUint16(d.escapes, uint16(v))
	default:
		d.symbols = append(d.symbols, symWord32)
		d.escapes = binary.LittleEndian.AppendUint32(d.escapes, v)
	}
	return 4
}

// Close ends the delta. It does not close the underlying writer.
func (d *Writer) Close() error {
	d.endLiteral()
	d.buf = append(d.buf, recordEnd)
	if err := d.flush(); err != nil {
		return err
	}
	return d.z.Close()
}
