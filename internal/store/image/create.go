package image

import (
	"fmt"
	"path"

	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sys/unix"
)

// Create implements extract.Tree.
func (t *tree) Create(hdr *tar.Header, name string, c *extract.Content) error {
	parent, err := t.parentOf(name)
	if err != nil {
		return err
	}
	base := path.Base(name)
	switch hdr.Typeflag {
	case tar.TypeReg:
		return t.regular(hdr, parent, base, c)
	case tar.TypeDir:
		return t.directory(hdr, parent, name)
	case tar.TypeSymlink:
		return t.symlink(hdr, parent, base)
	case tar.TypeLink:
		return t.hardLink(hdr, parent, base)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return t.special(hdr, parent, base)
	case tar.TypeXGlobalHeader:
		t.remove(parent, base)
		return nil
	default:
		return fmt.Errorf("%w: type %q", extract.ErrType, hdr.Typeflag)
	}
}

// put puts a new node with the header's attributes in place of what is there.
func (t *tree) put(hdr *tar.Header, parent *node, base string, put node) error {
	t.remove(parent, base)
	put.mode = uint16(hdr.Mode & 0o7777)
	n, err := t.add(parent, base, put)
	if err != nil {
		return err
	}
	n.own(hdr)
	if err := t.chmod(n, uint16(hdr.Mode&0o7777)); err != nil {
		return err
	}
	n.touch(hdr)
	return t.setXattrs(n, hdr)
}

func (t *tree) regular(hdr *tar.Header, parent *node, base string, c *extract.Content) error {
	data, err := t.content(hdr, c)
	if err != nil {
		return err
	}
	return t.put(hdr, parent, base, node{kind: unix.S_IFREG, data: data})
}

func (t *tree) directory(hdr *tar.Header, parent *node, name string) error {
	base := path.Base(name)
	n := t.child(parent, base)
	if n == nil || !n.dir() {
		t.remove(parent, base)
		var err error
		if n, err = t.add(parent, base, node{kind: unix.S_IFDIR, mode: uint16(hdr.Mode & 0o7777)}); err != nil {
			return err
		}
	}
	n.own(hdr)
	if err := t.chmod(n, uint16(hdr.Mode&0o7777)); err != nil {
		return err
	}
	if err := t.list(&t.listed, name, extract.Modified(hdr).UnixNano()); err != nil {
		return err
	}
	return t.setXattrs(n, hdr)
}

func (t *tree) symlink(hdr *tar.Header, parent *node, base string) error {
	switch {
	case hdr.Linkname == "":
		return unix.ENOENT
	case len(hdr.Linkname) >= maxPath:
		return unix.ENAMETOOLONG
	}
	target, err := t.texts.add(t.memory, hdr.Linkname)
	if err != nil {
		return err
	}
	return t.put(hdr, parent, base, node{kind: unix.S_IFLNK, target: target})
}

func (t *tree) special(hdr *tar.Header, parent *node, base string) error {
	n := node{kind: unix.S_IFIFO}
	if hdr.Typeflag != tar.TypeFifo {
		if !t.devices {
			return extract.ErrDevice
		}
		n.kind = unix.S_IFCHR
		if hdr.Typeflag == tar.TypeBlock {
			n.kind = unix.S_IFBLK
		}
		// mknod has 12 and 20 bits, too.
		n.dev = erofs.Dev{Major: uint32(hdr.Devmajor) & (1<<12 - 1), Minor: uint32(hdr.Devminor) & (1<<20 - 1)}
	}
	return t.put(hdr, parent, base, n)
}

// hardLink gives the file that the header names a further name, and the header's
// attributes.
func (t *tree) hardLink(hdr *tar.Header, parent *node, base string) error {
	target, err := layerrules.LinkTarget(hdr.Linkname)
	if err != nil {
		return err
	}
	fail := func(err error) error { return fmt.Errorf("hard link to %q: %w", hdr.Linkname, err) }
	dir, err := t.find(path.Dir(target))
	if err != nil {
		return fail(err)
	}
	if t.child(dir, path.Base(target)) == nil {
		return fail(unix.ENOENT)
	}
	t.remove(parent, base)
	n := t.child(dir, path.Base(target))
	switch {
	case n == nil: // it was removed just now
		return fail(unix.ENOENT)
	case n.dir():
		return fail(extract.ErrType)
	}
	if err := t.enter(parent, base, n); err != nil {
		return err
	}
	if n.uid != uint32(hdr.Uid) || n.gid != uint32(hdr.Gid) {
		n.own(hdr)
		// A change of owner takes capabilities away.
		if err := t.drop(n, "security.capability"); err != nil {
			return err
		}
	}
	if n.kind != unix.S_IFLNK {
		if err := t.chmod(n, uint16(hdr.Mode&0o7777)); err != nil {
			return err
		}
		n.touch(hdr)
	}
	return t.setXattrs(n, hdr)
}

// own is chown of the kernel.
func (n *node) own(hdr *tar.Header) {
	if uid := uint32(hdr.Uid); uid != extract.NoOwner {
		n.uid = uid
	}
	if gid := uint32(hdr.Gid); gid != extract.NoOwner {
		n.gid = gid
	}
}

// touch sets the time of modification.
func (n *node) touch(hdr *tar.Header) { n.nsec = extract.Modified(hdr).UnixNano() }
