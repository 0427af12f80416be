package erofs

import (
	"context"
	"fmt"
)

// shape is how an inode is laid out.
type shape struct {
	extended bool
	inline   bool  // the last bytes, tail of them, follow the inode
	size     int64 // i_size
	tail     int
	blocks   int64  // of its own among the blocks of directories, not of its content
	body     []byte // extended attributes
}

// head is the size of the inode with its attributes.
func (s *shape) head() int {
	if s.extended {
		return extendedSize + len(s.body)
	}
	return compactSize + len(s.body)
}

// shape computes the layout of an inode. Directories must be sorted.
func (b *Builder) shape(n uint32) shape {
	ino := b.inodes.at(n)
	s := shape{body: b.xattrs.sets[ino.xattrs].body}
	kind := ino.mode & typeMask
	switch kind {
	case typeRegular:
		s.size = b.contents.at(ino.data).size
	case typeDir:
		s.size = b.dirSize(n)
	case typeSymlink:
		s.size = int64(len(b.strings.at(ino.data)))
	}
	s.extended = ino.sec() != b.sb.sec || ino.nsec != b.sb.nsec || ino.uid|ino.gid|ino.nlink >= 1<<16 || s.size >= 1<<32
	switch kind {
	case typeRegular:
		s.tail = b.contents.at(ino.data).tailSize()
		s.inline = s.tail > 0
	case typeDir, typeSymlink:
		// The kernel wants a short symlink in the block of its inode, and for
		// directories that is good, too.
		tail := int(s.size % BlockSize)
		s.blocks = s.size >> blockBits
		if s.inline = tail > 0 && s.head()+tail <= BlockSize; s.inline {
			s.tail = tail
		} else if tail > 0 {
			s.blocks++
		}
	}
	return s
}

// place is the first offset from at on where the inode may stand: an inode and its
// tail in one block where they fit one, a tail always.
func (s *shape) place(at int64) int64 {
	at = roundUp(at, slotSize)
	head := int64(s.head())
	if size := head + int64(s.tail); size <= BlockSize {
		if at%BlockSize+size > BlockSize {
			at = roundUp(at, BlockSize)
		}
		return at
	}
	if tail := (at + head) % BlockSize; tail+int64(s.tail) > BlockSize {
		at += roundUp(BlockSize-tail, slotSize)
	}
	return at
}

// plan is where the parts of the image are.
type plan struct {
	dirs, xattrs, meta, end int64 // first blocks
	inodes                  int64
}

// plan sorts the directories and gives each inode its number.
func (b *Builder) plan(ctx context.Context) (plan, error) {
	b.xattrs.plan()
	var at, blocks int64
	p := plan{dirs: b.blocks}
	err := b.walk(ctx, func(n uint32) error {
		ino := b.inodes.at(n)
		if ino.nid != unplaced {
			return nil
		}
		if ino.mode&typeMask == typeDir {
			if err := b.sortDir(n); err != nil {
				return err
			}
		}
		s := b.shape(n)
		at = s.place(at)
		if at/slotSize >= unplaced {
			return fmt.Errorf("inodes: %w", ErrLimit)
		}
		ino.nid = uint32(at / slotSize)
		at += int64(s.head() + s.tail)
		blocks += s.blocks
		p.inodes++
		return nil
	})
	if err != nil {
		return plan{}, err
	}
	p.xattrs = p.dirs + blocks
	p.meta = p.xattrs + int64(roundUp(len(b.xattrs.shared), BlockSize)>>blockBits)
	p.end = p.meta + roundUp(at, BlockSize)>>blockBits
	if p.end > maxBlocks {
		return plan{}, fmt.Errorf("%d blocks: %w", p.end, ErrLimit)
	}
	return p, nil
}
