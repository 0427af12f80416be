package erofs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// Image says what Finish made.
type Image struct {
	Size     int64 // bytes, a multiple of BlockSize
	Inodes   int64
	Contents int64 // bytes of Size that hold contents in blocks of their own
}

// Finish writes the tree and then the superblock, and ends the Builder; a second call
// is ErrFinished. All Writers must be flushed. The error is fs.ErrExist where a
// directory has two entries of one name. Syncing the file is the caller's business.
func (b *Builder) Finish(ctx context.Context) (Image, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished {
		return Image{}, ErrFinished
	}
	b.finished = true
	p, err := b.plan(ctx)
	if err != nil {
		return Image{}, fmt.Errorf("plan of the tree: %w", err)
	}
	if err := b.writeTree(ctx, p); err != nil {
		return Image{}, fmt.Errorf("write the tree: %w", err)
	}
	b.sb.inodes = uint64(p.inodes)
	b.sb.blocks = uint32(p.end)
	b.sb.metaBlock = uint32(p.meta)
	if len(b.xattrs.shared) > 0 {
		b.sb.xattrBlock = uint32(p.xattrs)
	}
	if _, err := b.image.WriteAt(b.sb.block(), 0); err != nil {
		return Image{}, fmt.Errorf("write the superblock: %w", err)
	}
	return Image{Size: p.end << blockBits, Inodes: p.inodes, Contents: (p.dirs - 1) << blockBits}, nil
}

// treeWriter writes the three areas behind the contents, each from its beginning to
// its end.
type treeWriter struct {
	*Builder
	dirs  *stream
	meta  *stream
	start int64 // of meta
	tails *pageReader
	ino   uint32
	buf   []byte
}

func (b *Builder) writeTree(ctx context.Context, p plan) error {
	w := treeWriter{
		Builder: b,
		dirs:    newStream(b.image, p.dirs<<blockBits),
		meta:    newStream(b.image, p.meta<<blockBits),
		start:   p.meta << blockBits,
		tails:   &pageReader{r: b.spool},
	}
	if err := b.walk(ctx, w.inode); err != nil {
		return err
	}
	shared := newStream(b.image, p.xattrs<<blockBits)
	return errors.Join(
		w.dirs.end(p.xattrs<<blockBits), w.meta.end(p.end<<blockBits),
		shared.write(b.xattrs.shared), shared.end(p.meta<<blockBits),
	)
}

// inode writes an inode, and what follows it, at its first name.
func (w *treeWriter) inode(n uint32) error {
	ino := w.inodes.at(n)
	at := w.start + int64(ino.nid)*slotSize
	if at < w.meta.pos() {
		return nil
	}
	if err := w.meta.zeros(at); err != nil {
		return err
	}
	s := w.shape(n)
	w.ino++
	d := diskInode{
		extended: s.extended, layout: layoutPlain, mode: ino.mode, nlink: ino.nlink, size: s.size,
		ino: w.ino, uid: ino.uid, gid: ino.gid, sec: ino.sec(), nsec: ino.nsec,
	}
	if s.inline {
		d.layout = layoutInline
	}
	if len(s.body) > 0 {
		d.icount = uint16((len(s.body)-xattrHeader)/xattrUnit + 1)
	}
	switch ino.mode & typeMask {
	case typeRegular:
		d.data = w.contents.at(ino.data).block
	case typeDir, typeSymlink:
		if s.blocks > 0 {
			d.data = uint32(w.dirs.pos() >> blockBits)
		}
	case typeChar, typeBlock:
		d.data = ino.data
	}
	w.buf = append(d.append(w.buf[:0]), s.body...)
	if err := w.meta.write(w.buf); err != nil {
		return err
	}
	return w.data(n, ino, &s)
}

// data writes what of an inode's data is not among the contents.
func (w *treeWriter) data(n uint32, ino *inode, s *shape) error {
	switch ino.mode & typeMask {
	case typeRegular:
		if s.tail == 0 {
			return nil
		}
		tail, err := w.tails.read(int64(w.contents.at(ino.data).tail)*tailUnit, s.tail)
		if err != nil {
			return err
		}
		return w.meta.write(tail)
	case typeSymlink:
		if s.inline {
			return w.meta.write(w.strings.at(ino.data))
		}
		return w.block(w.strings.at(ino.data))
	case typeDir:
		whole := s.size &^ (BlockSize - 1)
		return w.dirBlocks(n, func(first uint32, count, used int) error {
			w.buf = w.appendDirents(w.buf[:0], first, count)
			if whole -= BlockSize; whole < 0 && s.inline {
				return w.meta.write(w.buf)
			}
			return w.block(w.buf)
		})
	}
	return nil
}

// block writes a block of the second area, filled up with zeros.
func (w *treeWriter) block(data []byte) error {
	end := w.dirs.pos() + BlockSize
	if err := w.dirs.write(data); err != nil {
		return err
	}
	return w.dirs.zeros(end)
}

// appendDirents appends a block of a directory: the entries, then their names.
func (w *treeWriter) appendDirents(b []byte, first uint32, count int) []byte {
	le := binary.LittleEndian
	nameOff := count * direntSize
	for e, i := first, 0; i < count; i++ {
		ent := w.entries.at(e)
		ino := w.inodes.at(ent.node)
		b = le.AppendUint64(b, uint64(ino.nid))
		b = le.AppendUint16(b, uint16(nameOff))
		b = append(b, direntType(ino.mode), 0)
		nameOff += len(w.strings.at(ent.name))
		e = ent.next
	}
	for e, i := first, 0; i < count; i++ {
		b = append(b, w.name(e)...)
		e = w.entries.at(e).next
	}
	return b
}
