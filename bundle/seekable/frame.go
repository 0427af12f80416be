// Package seekable makes and finds the zstd frames that a bundle consists of, in
// the zstd seekable format: each is decoded without the others.
package seekable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/nodeseal/nodeseal/bundle"
)

// The zstd seekable format, version 0.1.0 (contrib/seekable_format of zstd):
// a skippable frame at the end that lists the frames before it.
const (
	skippableHeader  = 8 // magic and size
	seekTableMagic   = 0x184D2A5E
	seekFooterMagic  = 0x8F92EAB1
	seekFooterSize   = 9
	seekEntrySize    = 8
	checksumMagic    = 0x184D2A5D
	checksumTag      = "nodeseal"
	checksumContent  = len(checksumTag) + 32
	checksumFrameLen = skippableHeader + checksumContent
)

// MaxFrames is how many frames a bundle has at most, with that of its checksum: 6 TiB of content
// in frames of FrameSize. Each takes some 20 bytes of memory while a bundle is open.
const MaxFrames = 1 << 20

// minFrame is the length of the shortest frame, in bytes: magic, descriptor, content size, and a
// block of one byte that is repeated (RFC 8878, section 3.1.1).
const minFrame = 4 + 1 + 1 + 4

// MaxFrame is the most content that one frame of a bundle holds, in bytes.
const MaxFrame = 16 << 20

// maxCompressedFrame bounds the compressed bytes of a frame: incompressible
// content grows by a few bytes for each block of 128 KiB.
const maxCompressedFrame = MaxFrame + MaxFrame/1024 + 1024

// Frame is the size of one zstd frame of a bundle, in bytes.
type Frame struct {
	Compressed int64 `json:"c"` // of the frame in the file
	Content    int64 `json:"n"` // of what it decodes to
}

// AppendTable appends the skippable frame that lists frames.
func AppendTable(dst []byte, frames []Frame) ([]byte, error) {
	if len(frames) > MaxFrames {
		return nil, fmt.Errorf("%d frames, a bundle has at most %d", len(frames), MaxFrames)
	}
	dst = binary.LittleEndian.AppendUint32(dst, seekTableMagic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(frames)*seekEntrySize+seekFooterSize))
	for _, f := range frames {
		if f.Compressed < 0 || f.Compressed > math.MaxUint32 || f.Content < 0 || f.Content > math.MaxUint32 {
			return nil, fmt.Errorf("a frame of %d bytes for %d is more than a seek table holds", f.Compressed, f.Content)
		}
		dst = binary.LittleEndian.AppendUint32(dst, uint32(f.Compressed))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(f.Content))
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(frames)))
	dst = append(dst, 0) // no checksums here: the frames have their own
	return binary.LittleEndian.AppendUint32(dst, seekFooterMagic), nil
}

// ReadTable reads the seek table at the end of the size bytes of r, in pieces, and checks that
// it accounts for every byte before it: each frame has content, but for the last one, which is
// the checksum frame. No more than MaxFrames are read. Errors wrap bundle.ErrDamaged, but for
// those of r.
func ReadTable(r io.ReaderAt, size int64) ([]Frame, error) {
	footer := make([]byte, seekFooterSize)
	if size < skippableHeader+seekFooterSize+int64(checksumFrameLen) {
		return nil, fmt.Errorf("%w: %d bytes are too few for a bundle", bundle.ErrDamaged, size)
	}
	if err := ReadAt(r, footer, size-seekFooterSize); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(footer[5:]) != seekFooterMagic {
		return nil, fmt.Errorf("%w: it does not end with a seek table: cut short, or not a bundle", bundle.ErrDamaged)
	}
	count := int64(binary.LittleEndian.Uint32(footer))
	tableSize := count*seekEntrySize + seekFooterSize
	if footer[4] != 0 || tableSize+skippableHeader > size {
		return nil, fmt.Errorf("%w: the footer of its seek table", bundle.ErrDamaged)
	}
	if count > MaxFrames {
		return nil, fmt.Errorf("%w: its seek table lists %d frames, a bundle has at most %d", bundle.ErrDamaged, count, MaxFrames)
	}
	start := size - skippableHeader - tableSize
	var head [skippableHeader]byte
	if err := ReadAt(r, head[:], start); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(head[:]) != seekTableMagic || int64(binary.LittleEndian.Uint32(head[4:])) != tableSize {
		return nil, fmt.Errorf("%w: the head of its seek table", bundle.ErrDamaged)
	}
	return readEntries(r, start, count)
}

// readEntries reads the count entries of the seek table that starts at the byte start.
func readEntries(r io.ReaderAt, start, count int64) ([]Frame, error) {
	frames := make([]Frame, 0, min(count, tablePiece))
	piece := make([]byte, min(count, tablePiece)*seekEntrySize)
	var sum int64
	for off := start + skippableHeader; int64(len(frames)) < count; off += int64(len(piece)) {
		piece = piece[:min(count-int64(len(frames)), tablePiece)*seekEntrySize]
		if err := ReadAt(r, piece, off); err != nil {
			return nil, err
		}
		for e := piece; len(e) > 0; e = e[seekEntrySize:] {
			f := Frame{Compressed: int64(binary.LittleEndian.Uint32(e)), Content: int64(binary.LittleEndian.Uint32(e[4:]))}
			last := int64(len(frames)) == count-1
			if !last && (f.Content == 0 || f.Compressed < minFrame) || f.Content > MaxFrame || f.Compressed > maxCompressedFrame {
				return nil, fmt.Errorf("%w: seek table: frame %d of %d bytes for %d of content", bundle.ErrDamaged, len(frames), f.Compressed, f.Content)
			}
			sum += f.Compressed // at most MaxFrames of maxCompressedFrame: far from 2^63
			frames = append(frames, f)
		}
	}
	if sum != start {
		return nil, fmt.Errorf("%w: seek table: it accounts for %d bytes of %d", bundle.ErrDamaged, sum, start)
	}
	if n := len(frames); n == 0 || frames[n-1] != (Frame{Compressed: int64(checksumFrameLen)}) {
		return nil, fmt.Errorf("%w: seek table: no checksum frame at its end", bundle.ErrDamaged)
	}
	return frames, nil
}

// tablePiece is how many entries of a seek table are read at once.
const tablePiece = 8 << 10

// AppendChecksum appends the skippable frame with the sha256 of all bytes
// of the file before it.
func AppendChecksum(dst []byte, sum [32]byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, checksumMagic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(checksumContent))
	dst = append(dst, checksumTag...)
	return append(dst, sum[:]...)
}

// Scan measures the zstd or skippable frame that starts at off, from its
// headers alone (RFC 8878, section 3.1). It decodes nothing. limit is where the
// frame must end at the latest. Errors wrap bundle.ErrDamaged, but for those of r.
func Scan(r io.ReaderAt, off, limit int64) (Frame, error) {
	if off < 0 || limit < off {
		return Frame{}, errFrame("outside of the file")
	}
	var buf [18]byte
	head := buf[:min(int64(len(buf)), limit-off)]
	if err := ReadAt(r, head, off); err != nil {
		return Frame{}, err
	}
	if len(head) < skippableHeader {
		return Frame{}, errFrame("cut short")
	}
	magic := binary.LittleEndian.Uint32(head)
	if magic&^0xF == 0x184D2A50 {
		f := Frame{Compressed: skippableHeader + int64(binary.LittleEndian.Uint32(head[4:]))}
		switch {
		case f.Compressed > limit-off:
			return Frame{}, errFrame("cut short")
		case f.Compressed > maxCompressedFrame:
			return Frame{}, errFrame("too long")
		}
		return f, nil
	}
	if magic != 0xFD2FB528 {
		return Frame{}, errFrame("no zstd frame")
	}
	n, content, checksum, err := scanHeader(head[4:])
	if err != nil {
		return Frame{}, err
	}
	pos := off + 4 + int64(n)
	for last := false; !last; {
		if limit-pos < 3 {
			return Frame{}, errFrame("cut short")
		}
		block := buf[:3]
		if err := ReadAt(r, block, pos); err != nil {
			return Frame{}, err
		}
		h := uint32(block[0]) | uint32(block[1])<<8 | uint32(block[2])<<16
		last = h&1 == 1
		length := int64(h >> 3)
		switch h >> 1 & 3 {
		case 1: // one byte, repeated
			length = 1
		case 3:
			return Frame{}, errFrame("a block of a reserved type")
		}
		pos += 3 + length
		switch {
		case pos > limit:
			return Frame{}, errFrame("cut short")
		case pos-off > maxCompressedFrame:
			return Frame{}, errFrame("too long")
		}
	}
	if checksum {
		pos += 4
	}
	if pos > limit {
		return Frame{}, errFrame("cut short")
	}
	return Frame{Compressed: pos - off, Content: content}, nil
}

// scanHeader reads the frame header behind the magic number: its length,
// the content size and whether a content checksum follows the blocks. Bundles
// always carry content size and checksum.
func scanHeader(b []byte) (n int, content int64, checksum bool, err error) {
	desc := b[0]
	single := desc&0x20 != 0
	n = 1 + []int{0, 1, 2, 4}[desc&3]
	if !single {
		n++
	}
	if len(b) < n+[]int{1, 2, 4, 8}[desc>>6] {
		return 0, 0, false, errFrame("cut short")
	}
	var size uint64
	switch field := b[n:]; desc >> 6 {
	case 0:
		if !single {
			return 0, 0, false, errFrame("no content size")
		}
		size, n = uint64(field[0]), n+1
	case 1:
		size, n = uint64(binary.LittleEndian.Uint16(field))+256, n+2
	case 2:
		size, n = uint64(binary.LittleEndian.Uint32(field)), n+4
	default:
		size, n = binary.LittleEndian.Uint64(field), n+8
	}
	if size > MaxFrame {
		return 0, 0, false, errFrame("too much content")
	}
	return n, int64(size), desc&4 != 0, nil
}

func errFrame(what string) error { return fmt.Errorf("%w: frame: %s", bundle.ErrDamaged, what) }

// ReadAt fills p from off. A file that ends before is damaged.
func ReadAt(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ends at byte %d", bundle.ErrDamaged, off+int64(n))
	}
	return fmt.Errorf("reading bundle at byte %d: %w", off, err)
}
