package erofs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Reader finds files of an image, and which of its bytes are their contents: for
// those who take them from there instead of mounting it. It reads what a Builder
// writes, refuses layouts that it does not, and holds everything to the bounds of
// the image: one that is damaged or made up gives wrong files or ErrImage. A Reader is
// for one goroutine, keeps up to 4 MiB, and what it has read once it may not read again.
type Reader struct {
	r    io.ReaderAt
	size int64
	meta int64 // byte of nid 0
	root File

	above   File // of the last Lookup, with its path
	aboveAt string
	block   [BlockSize]byte
	names   [][]byte
	pages   pageReader
}

// File is an inode of an image.
type File struct {
	// Mode has the type and the permissions, as stat(2) does.
	Mode uint16
	// Size is that of the content, or of the directory.
	Size int64

	data   int64 // byte of the first block
	inline int64 // byte of what follows the last whole block, 0 where it is in a block, too
}

// Extents says which bytes of the image are the content: head bytes at offset, which
// is a multiple of BlockSize, then tail bytes at tailOffset. Of the two lengths one may be
// zero; together they are Size. A content that has its blocks alone has no tail.
func (f File) Extents() (offset, head, tailOffset, tail int64) {
	if f.inline == 0 {
		return f.data, f.Size, 0, 0
	}
	head = f.Size &^ (BlockSize - 1)
	return f.data, head, f.inline, f.Size - head
}

// Open returns the content of a file.
func (r *Reader) Open(f File) io.Reader { return r.OpenAt(f, 0) }

// OpenAt returns the content of a file behind its first skip bytes.
func (r *Reader) OpenAt(f File, skip int64) io.Reader {
	offset, head, tailOffset, tail := f.Extents()
	first := min(skip, head)
	skip -= first
	return io.MultiReader(
		io.NewSectionReader(r.r, offset+first, head-first), io.NewSectionReader(r.r, tailOffset+skip, tail-skip),
	)
}

// NewReader returns a Reader of an image of size bytes.
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	im := &Reader{r: r, size: size, pages: pageReader{r: r}}
	b := make([]byte, superSize)
	if err := im.read(b, superOffset); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	switch {
	case le.Uint32(b) != superMagic:
		return nil, fmt.Errorf("%w: no superblock", ErrImage)
	case b[12] != blockBits || le.Uint32(b[80:]) != 0:
		return nil, fmt.Errorf("%w: features that no Builder uses", ErrImage)
	}
	im.meta = int64(le.Uint32(b[40:])) << blockBits
	var err error
	im.root, err = im.inode(uint64(le.Uint16(b[14:])))
	return im, err
}

// read fills b with the bytes at off.
func (r *Reader) read(b []byte, off int64) error {
	if off < 0 || off > r.size-int64(len(b)) {
		return fmt.Errorf("%w: it points behind its end", ErrImage)
	}
	data, err := r.pages.read(off, len(b))
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	copy(b, data)
	return nil
}

// inode reads an inode.
func (r *Reader) inode(nid uint64) (File, error) {
	if nid > uint64(r.size)/slotSize {
		return File{}, fmt.Errorf("%w: inode %d", ErrImage, nid)
	}
	le := binary.LittleEndian
	at := r.meta + int64(nid)*slotSize
	var b [extendedSize]byte
	if err := r.read(b[:compactSize], at); err != nil {
		return File{}, err
	}
	format := le.Uint16(b[:])
	layout := format >> 1 & 7
	if layout != layoutPlain && layout != layoutInline {
		return File{}, fmt.Errorf("%w: inode %d has a layout that no Builder uses", ErrImage, nid)
	}
	head, size := int64(compactSize), uint64(le.Uint32(b[8:]))
	if format&1 != 0 {
		head, size = extendedSize, le.Uint64(b[8:])
	}
	f := File{Mode: le.Uint16(b[4:]), Size: int64(size), data: int64(le.Uint32(b[16:])) << blockBits}
	if kind := f.Mode & typeMask; kind != typeRegular && kind != typeDir && kind != typeSymlink {
		f.Size, f.data = 0, 0
		return f, nil
	}
	if count := int64(le.Uint16(b[2:])); count > 0 {
		head += xattrHeader + (count-1)*xattrUnit
	}
	tail := int64(0)
	if layout == layoutInline {
		f.inline, tail = at+head, int64(size%BlockSize)
	}
	whole := f.Size - tail
	if f.Size < 0 || whole > 0 && (f.data > r.size || whole > r.size-f.data) || tail > r.size-f.inline {
		return File{}, fmt.Errorf("%w: inode %d has %d bytes", ErrImage, nid, size)
	}
	return f, nil
}

// Lookup returns the file of a path, slash-separated and relative to the root, which
// is ".". Symbolic links on the way are not followed. Where there is no such file the
// error is fs.ErrNotExist. Paths of one directory after another are found soonest.
func (r *Reader) Lookup(name string) (File, error) {
	if name != path.Clean(name) || path.IsAbs(name) {
		return File{}, fmt.Errorf("path %q: %w", name, fs.ErrInvalid)
	}
	if name == "." {
		return r.root, nil
	}
	above, aboveAt := r.above, path.Dir(name)
	if r.aboveAt != aboveAt {
		above = r.root
		for part := range strings.SplitSeq(aboveAt, "/") {
			if part == "." {
				break
			}
			var err error
			if above, err = r.entry(above, part); err != nil {
				return File{}, fmt.Errorf("%s: %w", name, err)
			}
		}
		r.above, r.aboveAt = above, aboveAt
	}
	f, err := r.entry(above, path.Base(name))
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// entry finds an entry of a directory: the last block whose first name is not behind
// it has it, or none has.
func (r *Reader) entry(dir File, name string) (File, error) {
	if dir.Mode&typeMask != typeDir {
		return File{}, fs.ErrNotExist
	}
	low, high := int64(0), (dir.Size+BlockSize-1)>>blockBits
	for low < high {
		middle := low + (high-low)/2
		b, err := r.dirBlock(dir, middle)
		if err != nil {
			return File{}, err
		}
		i, found := slices.BinarySearchFunc(b.names, name, func(have []byte, name string) int { return strings.Compare(string(have), name) })
		switch {
		case found:
			return r.inode(binary.LittleEndian.Uint64(b.dirents[i*direntSize:]))
		case i == 0:
			high = middle
		case i == len(b.names):
			low = middle + 1
		default:
			return File{}, fs.ErrNotExist
		}
	}
	return File{}, fs.ErrNotExist
}

// dirBlock is a block of a directory: entries and their names.
type dirBlock struct {
	dirents []byte
	names   [][]byte
}

// dirBlock reads block number i of a directory. It is good until the next call.
func (r *Reader) dirBlock(dir File, i int64) (dirBlock, error) {
	b := r.block[:min(BlockSize, dir.Size-i<<blockBits)]
	off := dir.data + i<<blockBits
	if len(b) < BlockSize && dir.inline != 0 {
		off = dir.inline
	}
	if err := r.read(b, off); err != nil {
		return dirBlock{}, err
	}
	damaged := fmt.Errorf("%w: a directory of %d bytes", ErrImage, dir.Size)
	if len(b) < direntSize {
		return dirBlock{}, damaged
	}
	start := func(i int) int { return int(binary.LittleEndian.Uint16(b[i*direntSize+8:])) }
	count := start(0) / direntSize
	if count == 0 || count*direntSize > len(b) {
		return dirBlock{}, damaged
	}
	d := dirBlock{dirents: b[:count*direntSize], names: r.names[:0]}
	for i := range count {
		from, to := start(i), len(b)
		if i+1 < count {
			to = start(i + 1)
		}
		if from < len(d.dirents) || from > to || to > len(b) {
			return dirBlock{}, damaged
		}
		name := b[from:to]
		if i+1 == count { // what follows is zeros
			name, _, _ = bytes.Cut(name, []byte{0})
		}
		d.names = append(d.names, name)
	}
	r.names = d.names
	return d, nil
}
