package erofs

import "fmt"

// TailMax is the longest tail, in bytes, that is kept behind its inode instead of in
// a block of its own.
const TailMax = 2048

// Content is a place for the bytes of files, made by Reserve. The zero Content is
// the empty one. It is of use only with the Builder that made it.
type Content uint32

// content is what is known of one.
type content struct {
	size  int64
	block uint32 // the first block of the head
	tail  uint32 // where the tail is in the spool, in tailUnits; noTail where it is not there
}

const (
	tailUnit = 8
	noTail   = 1<<32 - 1
)

// head is how many bytes of a content are in blocks of its own.
func (c content) head() int64 {
	if c.tail == noTail {
		return c.size
	}
	return c.size &^ (BlockSize - 1)
}

// tailSize is how many bytes go behind each inode.
func (c content) tailSize() int { return int(c.size - c.head()) }

// Reserve sets aside the place of a content of size bytes. Places follow from the
// order of the calls alone. files says how many files are going to name the content,
// as far as that is known, else 1: a tail is stored once for each of them, and is
// kept in a block of its own where that is smaller. What is never written reads as
// zeros. The error is ErrContent for a negative size, ErrLimit for a full image.
func (b *Builder) Reserve(size int64, files int) (Content, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished {
		return 0, ErrFinished
	}
	if size < 0 {
		return 0, fmt.Errorf("%w: size %d", ErrContent, size)
	}
	if size == 0 {
		return 0, nil
	}
	c := content{size: size, block: uint32(b.blocks), tail: noTail}
	tail := size % BlockSize
	inline := b.spool != nil && tail > 0 && tail <= TailMax && tail*int64(max(files, 1)) <= BlockSize &&
		b.spoolUsed+tail/tailUnit+1 < noTail
	if inline {
		c.tail = uint32(b.spoolUsed)
	}
	blocks := c.head() >> blockBits
	if c.head()%BlockSize > 0 { // rounding up would overflow near the end of int64
		blocks++
	}
	if blocks > maxBlocks-b.blocks || b.contents.n == maxRecords {
		return 0, fmt.Errorf("reserve %d bytes: %w", size, ErrLimit)
	}
	b.blocks += blocks
	if inline {
		b.spoolUsed += roundUp(tail, tailUnit) / tailUnit
	}
	n, err := b.contents.add(c)
	if err != nil {
		return 0, fmt.Errorf("reserve %d bytes: %w", size, err)
	}
	return Content(n), nil
}

// Extent says which bytes of the image hold the beginning of a content: length bytes
// at offset, block-aligned. The rest, fewer than BlockSize bytes, is the tail. A caller
// that has the bytes elsewhere may put them there by itself, for example by cloning
// blocks of another file, and give the tail to [Writer.CopyTail].
func (b *Builder) Extent(c Content) (offset, length int64, err error) {
	rec, err := b.content(c)
	if err != nil {
		return 0, 0, err
	}
	return int64(rec.block) << blockBits, rec.head(), nil
}

func (b *Builder) content(c Content) (content, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if int(c) >= b.contents.n {
		return content{}, fmt.Errorf("%w: number %d of %d", ErrContent, c, b.contents.n)
	}
	b.space.Touch()
	return *b.contents.at(uint32(c)), nil
}
