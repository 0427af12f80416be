package erofs

import (
	"fmt"
	"strings"
)

// inode is what is kept of one until Finish.
type inode struct {
	secLow, secHigh uint32 // in halves, so that the record needs no padding
	nsec            uint32
	uid, gid        uint32
	nlink           uint32
	xattrs          uint32 // the set
	data            uint32 // regular: Content; device: number; symlink: string; directory: last entry
	nid             uint32 // unplaced until Finish
	mode            uint16
}

const unplaced = 1<<32 - 1

// entry is a directory entry. Those of a directory are a list: in the order of
// Finish's sorting, and before it from the last one to the first.
type entry struct {
	node, next uint32
	name       uint32 // string
}

const noEntry = 1<<32 - 1

// Dir adds a directory. The errors of this and the following methods are ErrName,
// ErrNode, ErrAttr, ErrXattr, ErrContent, ErrLimit and ErrFinished; that a name is
// there twice shows in Finish.
func (b *Builder) Dir(parent Node, name string, attr Attr) (Node, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.checkEntry(parent, name); err != nil {
		return 0, err
	}
	n, err := b.dir(parent, attr)
	if err != nil {
		return 0, fmt.Errorf("directory %q: %w", name, err)
	}
	b.inodes.at(uint32(parent)).nlink++ // its ".."
	return n, b.link(parent, name, n)
}

// dir makes an inode of a directory with its "." and "..".
func (b *Builder) dir(parent Node, attr Attr) (Node, error) {
	n, err := b.inode(typeDir, attr, noEntry)
	if err != nil {
		return 0, err
	}
	b.inodes.at(uint32(n)).nlink = 1 // its "."
	if err := b.enter(n, b.dot, n); err != nil {
		return 0, err
	}
	return n, b.enter(n, b.dotDot, parent)
}

// File adds a regular file.
func (b *Builder) File(parent Node, name string, attr Attr, c Content) (Node, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if int(c) >= b.contents.n {
		return 0, fmt.Errorf("file %q: %w: number %d of %d", name, ErrContent, c, b.contents.n)
	}
	return b.add(parent, name, typeRegular, attr, uint32(c))
}

// Symlink adds a symbolic link. A target has 1 to 4,095 bytes and no NUL.
func (b *Builder) Symlink(parent Node, name string, attr Attr, target string) (Node, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(target) == 0 || len(target) >= BlockSize || strings.Contains(target, "\x00") {
		return 0, fmt.Errorf("symlink %q: %w: target of %d bytes", name, ErrAttr, len(target))
	}
	if err := b.checkEntry(parent, name); err != nil {
		return 0, err
	}
	data, err := b.strings.add(target)
	if err != nil {
		return 0, fmt.Errorf("symlink %q: %w", name, err)
	}
	return b.add(parent, name, typeSymlink, attr, data)
}

// Special adds a device, a FIFO or a socket. The latter two have the zero Dev.
func (b *Builder) Special(parent Node, name string, attr Attr, kind Special, dev Dev) (Node, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, err := dev.encode()
	device := kind == CharDevice || kind == BlockDevice
	if !device && (kind != FIFO && kind != Socket || dev != (Dev{})) {
		err = fmt.Errorf("%w: type %o with device number %v", ErrAttr, kind, dev)
	}
	if err != nil {
		return 0, fmt.Errorf("special file %q: %w", name, err)
	}
	return b.add(parent, name, uint16(kind), attr, data)
}

// Link adds a further name of a node that is not a directory.
func (b *Builder) Link(parent Node, name string, n Node) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.checkEntry(parent, name); err != nil {
		return err
	}
	if int(n) >= b.inodes.n || b.isDir(n) {
		return fmt.Errorf("hard link %q: %w", name, ErrNode)
	}
	return b.link(parent, name, n)
}

// add makes an inode that is no directory, and its first entry.
func (b *Builder) add(parent Node, name string, kind uint16, attr Attr, data uint32) (Node, error) {
	if err := b.checkEntry(parent, name); err != nil {
		return 0, err
	}
	n, err := b.inode(kind, attr, data)
	if err != nil {
		return 0, fmt.Errorf("%q: %w", name, err)
	}
	return n, b.link(parent, name, n)
}

// checkEntry says whether there can be an entry of a name.
func (b *Builder) checkEntry(parent Node, name string) error {
	switch {
	case b.finished:
		return ErrFinished
	case int(parent) >= b.inodes.n || !b.isDir(parent):
		return fmt.Errorf("parent of %q: %w", name, ErrNode)
	case name == "" || name == "." || name == ".." || len(name) > maxName || strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("%w %q", ErrName, name)
	}
	return nil
}

func (b *Builder) isDir(n Node) bool {
	return b.inodes.at(uint32(n)).mode&typeMask == typeDir
}

// inode makes an inode with no entry yet.
func (b *Builder) inode(kind uint16, attr Attr, data uint32) (Node, error) {
	if attr.Mode&^0o7777 != 0 {
		return 0, fmt.Errorf("%w: mode %o", ErrAttr, attr.Mode)
	}
	if b.inodes.n == maxRecords {
		return 0, ErrLimit
	}
	set, err := b.xattrs.add(attr.Xattrs)
	if err != nil {
		return 0, err
	}
	ino := inode{xattrs: set, data: data, mode: kind, nid: unplaced}
	b.stamp(&ino, attr)
	b.space.Touch()
	n, err := b.inodes.add(ino)
	return Node(n), err
}

// SetAttr replaces the attributes of a node, for those that are known only after
// what is below it: a directory needs to be there before its files.
func (b *Builder) SetAttr(n Node, attr Attr) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.finished:
		return ErrFinished
	case int(n) >= b.inodes.n:
		return ErrNode
	case attr.Mode&^0o7777 != 0:
		return fmt.Errorf("%w: mode %o", ErrAttr, attr.Mode)
	}
	set, err := b.xattrs.add(attr.Xattrs)
	if err != nil {
		return err
	}
	ino := b.inodes.at(uint32(n))
	b.xattrs.drop(ino.xattrs)
	ino.xattrs = set
	b.stamp(ino, attr)
	return nil
}

// stamp sets owner, mode and time.
func (b *Builder) stamp(ino *inode, attr Attr) {
	sec, nsec := b.sb.sec, b.sb.nsec
	if !attr.ModTime.IsZero() {
		sec, nsec = attr.ModTime.Unix(), uint32(attr.ModTime.Nanosecond())
	}
	ino.secLow, ino.secHigh, ino.nsec = uint32(sec), uint32(sec>>32), nsec
	ino.uid, ino.gid = attr.UID, attr.GID
	ino.mode = ino.mode&typeMask | uint16(attr.Mode)
}

func (n *inode) sec() int64 { return int64(n.secHigh)<<32 | int64(n.secLow) }

// link adds an entry and counts it.
func (b *Builder) link(parent Node, name string, n Node) error {
	str, err := b.strings.add(name)
	if err != nil {
		return fmt.Errorf("entry %q: %w", name, err)
	}
	if err := b.enter(parent, str, n); err != nil {
		return fmt.Errorf("entry %q: %w", name, err)
	}
	b.inodes.at(uint32(n)).nlink++
	return nil
}

// enter adds an entry whose name is kept already.
func (b *Builder) enter(parent Node, name uint32, n Node) error {
	if b.entries.n == maxRecords {
		return ErrLimit
	}
	dir := b.inodes.at(uint32(parent))
	e, err := b.entries.add(entry{node: uint32(n), next: dir.data, name: name})
	if err != nil {
		return err
	}
	dir.data = e
	return nil
}
