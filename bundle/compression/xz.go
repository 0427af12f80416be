package compression

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xzMagic starts a stream.
const xzMagic = "\xfd7zXZ\x00"

// errXz is wrapped where a stream breaks the format.
var errXz = errors.New("invalid stream")

// xzReader reads the container of xz (the .xz file format, 1.2) around the LZMA2 decoder
// of the library. The library's own reader takes whatever memory a block asks for. The
// checksums in the container are not compared: every layer is held to its digest.
type xzReader struct {
	in    *bufio.Reader
	most  int64 // that a block may ask for
	check int   // length of the check behind a block
	block io.Reader
	count *countedByte
	err   error
}

// countedByte counts what a block takes. The decoder reads no further than its end.
type countedByte struct {
	*bufio.Reader
	n int64
}

// ReadByte implements io.ByteReader.
func (c *countedByte) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// Read implements io.Reader.
func (c *countedByte) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// Read implements io.Reader.
func (x *xzReader) Read(p []byte) (int, error) {
	for x.err == nil {
		if x.block == nil {
			x.err = x.next()
			continue
		}
		n, err := x.block.Read(p)
		if errors.Is(err, io.EOF) {
			x.block, err = nil, x.endBlock()
		}
		if x.err = err; n > 0 {
			return n, nil
		}
	}
	return 0, x.err
}

// next comes to the next block: io.EOF behind the last stream.
func (x *xzReader) next() error {
	if x.check == 0 {
		if err := x.stream(); err != nil {
			return err
		}
	}
	size, err := x.in.ReadByte()
	if err != nil {
		return cut(err)
	}
	if size == 0 {
		x.check = 0
		return x.index()
	}
	head := make([]byte, (int(size)+1)*4-1)
	if _, err := io.ReadFull(x.in, head); err != nil {
		return cut(err)
	}
	window, err := dictionary(head[:len(head)-4])
	if err != nil {
		return err
	}
	if int64(window) > x.most {
		return fmt.Errorf("%w: a block with a dictionary of %d MiB, more than the first one", ErrWindow, window>>20)
	}
	x.count = &countedByte{Reader: x.in, n: int64(size+1) * 4}
	x.block, err = lzma.Reader2Config{DictCap: max(window, lzma.MinDictCap)}.NewReader2(x.count)
	if err != nil {
		return fmt.Errorf("%w: %w", errXz, err)
	}
	return nil
}

// xzWindow returns what the first block of a stream asks for, but at least manyWindow.
// Streams that are damaged are for the reader to refuse.
func xzWindow(in *bufio.Reader) uint64 {
	const streamHeader, blockHeader = 12, 1024
	head, _ := in.Peek(streamHeader + blockHeader) // its error comes again
	if len(head) <= streamHeader {
		return manyWindow
	}
	head = head[streamHeader:]
	size := (int(head[0]) + 1) * 4
	if size <= 8 || size > len(head) { // 4: the end of an empty stream
		return manyWindow
	}
	window, err := dictionary(head[1 : size-4])
	if err != nil {
		return manyWindow
	}
	return max(uint64(window), manyWindow)
}

// stream reads the header of a stream, or io.EOF where there is none.
func (x *xzReader) stream() error {
	head := make([]byte, 12)
	for {
		if _, err := io.ReadFull(x.in, head[:4]); err != nil {
			return err
		}
		if binary.LittleEndian.Uint32(head) != 0 {
			break // else padding between streams
		}
	}
	if _, err := io.ReadFull(x.in, head[4:]); err != nil {
		return cut(err)
	}
	if string(head[:6]) != xzMagic || head[6] != 0 || head[7] > 15 {
		return fmt.Errorf("%w: its header", errXz)
	}
	// Checks have 0, 4, 8, 16, 32 or 64 bytes, three types each after the first. One
	// more than the length, so that it is never 0.
	x.check = 1
	if kind := int(head[7]); kind > 0 {
		x.check = 1 + 4<<((kind-1)/3)
	}
	return nil
}

// dictionary returns the length of the dictionary that a block's header asks for.
func dictionary(head []byte) (int, error) {
	flags := head[0]
	rest := head[1:]
	if flags&0x03 != 0 {
		return 0, fmt.Errorf("%w: a filter other than LZMA2", errXz)
	}
	for _, bit := range []byte{0x40, 0x80} { // compressed and plain length
		if flags&bit != 0 {
			_, n := binary.Uvarint(rest)
			if n <= 0 {
				return 0, fmt.Errorf("%w: the header of a block", errXz)
			}
			rest = rest[n:]
		}
	}
	const lzma2 = 0x21
	if len(rest) < 3 || rest[0] != lzma2 || rest[1] != 1 || rest[2] > 40 {
		return 0, fmt.Errorf("%w: a filter other than LZMA2", errXz)
	}
	bits := int(rest[2])
	if bits == 40 {
		return 1<<32 - 1, nil
	}
	return (2 | bits&1) << (bits/2 + 11), nil
}

// endBlock reads the padding and the check behind a block.
func (x *xzReader) endBlock() error {
	skip := int(-x.count.n&3) + x.check - 1
	if _, err := x.in.Discard(skip); err != nil {
		return cut(err)
	}
	return nil
}

// index reads the index, whose first byte was read, and the footer of a stream.
func (x *xzReader) index() error {
	in := &countedByte{Reader: x.in, n: 1}
	records, err := binary.ReadUvarint(in)
	for i := uint64(0); i < 2*records && err == nil; i++ {
		_, err = binary.ReadUvarint(in)
	}
	if err != nil {
		return cut(err)
	}
	const crc, footer = 4, 12
	if _, err := x.in.Discard(int(-in.n&3) + crc + footer); err != nil {
		return cut(err)
	}
	return nil
}

// cut is the error of a stream that ends too early.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", errXz, io.ErrUnexpectedEOF)
	}
	return err
}
