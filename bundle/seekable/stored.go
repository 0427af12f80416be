package seekable

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// storedBlock is the most content that one block of a frame holds, in bytes
// (RFC 8878, section 3.1.1.2).
const storedBlock = 128 << 10

const (
	frameMagic      = 0xFD2FB528
	storedHeaderLen = 9 // magic, descriptor, content size
	blockHeaderLen  = 3
	checksumLen     = 4
	// storedDescriptor: a content size of 4 bytes, a single segment, a checksum.
	storedDescriptor = 0x80 | 0x20 | 0x04
)

// IsCompressed reports whether bytes that begin with head, four of them or
// fewer where there are no more, are gzip or zstd: what Store is for.
func IsCompressed(head []byte) bool {
	return bytes.HasPrefix(head, []byte{0x1f, 0x8b}) || bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(head) == 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:], []byte{0x2a, 0x4d, 0x18}) // a skippable frame of zstd
}

// Store returns size bytes of content from r as frames that hold them as they
// are, for content that is compressed already, and the sizes of these frames.
// Nothing is read before the result is. Content that ends early is
// io.ErrUnexpectedEOF. A size that no seek table holds is an error.
func Store(r io.Reader, size int64) (io.Reader, []Frame, error) {
	if size < 0 || size > MaxFrames*FrameSize {
		return nil, nil, fmt.Errorf("frames for %d bytes: want 0 to %d", size, int64(MaxFrames*FrameSize))
	}
	var frames []Frame
	for left := size; left > 0; {
		n := min(left, FrameSize)
		blocks := (n + storedBlock - 1) / storedBlock
		frames = append(frames, Frame{Compressed: storedHeaderLen + blocks*blockHeaderLen + n + checksumLen, Content: n})
		left -= n
	}
	return &stored{content: r, left: size}, frames, nil
}

// stored makes frames of stored content.
type stored struct {
	content            io.Reader
	left, frame, block int64  // what is left of the content, of its frame, of its block
	head               []byte // what stands before the next block
	sum                xxh64
	started            bool
}

// Read implements io.Reader.
func (s *stored) Read(p []byte) (int, error) {
	total := 0
	for total < len(p) {
		if len(s.head) == 0 && s.block == 0 && !s.next() {
			return total, io.EOF
		}
		if len(s.head) > 0 {
			n := copy(p[total:], s.head)
			s.head = s.head[n:]
			total += n
			continue
		}
		n, err := s.content.Read(p[total:min(int64(len(p)), int64(total)+s.block)])
		s.sum.write(p[total : total+n])
		total += n
		s.block -= int64(n)
		s.frame -= int64(n)
		s.left -= int64(n)
		if err != nil && (s.left > 0 || err != io.EOF) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return total, err
		}
	}
	return total, nil
}

// next makes the bytes before the next block, with the end of the frame that is
// through; false where nothing follows.
func (s *stored) next() bool {
	if s.started && s.frame == 0 {
		s.head = binary.LittleEndian.AppendUint32(s.head[:0], uint32(s.sum.sum()))
		s.started = false
		return true
	}
	if s.left == 0 {
		return false
	}
	s.head = s.head[:0]
	if !s.started {
		s.started = true
		s.frame = min(s.left, FrameSize)
		s.sum = newXXH64()
		s.head = binary.LittleEndian.AppendUint32(s.head, frameMagic)
		s.head = append(s.head, storedDescriptor)
		s.head = binary.LittleEndian.AppendUint32(s.head, uint32(s.frame))
	}
	s.block = min(s.frame, storedBlock)
	header := uint32(s.block) << 3 // a raw block
	if s.block == s.frame {
		header |= 1 // the last one
	}
	s.head = append(s.head, byte(header), byte(header>>8), byte(header>>16))
	return true
}
