package layerrules

import (
	"archive/tar"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// maxPath is the longest name of a path that Linux takes, with its NUL; maxName that
// of one file; maxLinks how many symbolic links it follows on the way of one name.
const (
	maxPath  = 4096
	maxName  = 255
	maxLinks = 40
)

// create makes what a member stands for.
func (c *Checker) create(m *Member, inside string) (File, error) {
	dir, err := c.parent(inside)
	if err != nil {
		return 0, err
	}
	base := path.Base(inside)
	switch m.Type {
	case tar.TypeReg:
		return c.place(m, dir, base, contentKind(m.Size))
	case tar.TypeDir:
		return c.directory(m, dir, inside)
	case tar.TypeSymlink:
		return c.symlink(m, dir, base)
	case tar.TypeLink:
		return c.hardLink(m, dir, base)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return c.place(m, dir, base, kindOther)
	case tar.TypeXGlobalHeader:
		// The library has no use for it either, but its name clears a place.
		c.remove(m, dir, base)
		return 0, nil
	}
	return 0, fmt.Errorf("%w: type %q", ErrType, m.Type)
}

func contentKind(size int64) kind {
	if size > 0 {
		return kindFile
	}
	return kindEmpty
}

// place puts a new file in place of what is there.
func (c *Checker) place(m *Member, dir File, base string, k kind) (File, error) {
	c.remove(m, dir, base)
	f := c.newFile(k)
	c.put(dir, base, f)
	return f, c.attributes(f, m)
}

// remove takes a name away. What a store needs to give the tar back may go with it.
func (c *Checker) remove(m *Member, dir File, base string) {
	f := c.child(dir, base)
	if f == 0 {
		return
	}
	switch c.kinds[f] {
	case kindFile, kindDir, kindLink:
		c.lose(m.Name, "it replaces an earlier member")
	}
	c.drop(dir, base)
}

func (c *Checker) directory(m *Member, dir File, inside string) (File, error) {
	base := path.Base(inside)
	f := c.child(dir, base)
	if f == 0 || c.kinds[f] != kindDir {
		c.remove(m, dir, base)
		f = c.newFile(kindDir)
		c.put(dir, base, f)
	}
	if err := c.keep(len(inside)); err != nil {
		return 0, err
	}
	c.listed.add(inside)
	return f, c.attributes(f, m)
}

func (c *Checker) symlink(m *Member, dir File, base string) (File, error) {
	switch {
	case m.Linkname == "":
		return 0, fmt.Errorf("symbolic link to nothing: %w", unix.ENOENT)
	case len(m.Linkname) >= maxPath:
		return 0, fmt.Errorf("symbolic link to a name of %d bytes: %w", len(m.Linkname), unix.ENAMETOOLONG)
	}
	if err := c.keep(len(m.Linkname)); err != nil {
		return 0, err
	}
	f, err := c.place(m, dir, base, kindLink)
	if err == nil {
		c.setTarget(f, m.Linkname)
	}
	return f, err
}

// LinkTarget returns the cleaned name of a hard link's target, relative to the
// layer; ErrLeadsOut or ErrType where it can have none.
func LinkTarget(linkname string) (string, error) {
	target, err := Inside(path.Clean(linkname))
	if err == nil && (linkname == "" || target == "") {
		err = ErrType
	}
	if err != nil {
		return "", fmt.Errorf("hard link to %q: %w", linkname, err)
	}
	return target, nil
}

// hardLink gives the file that the member names a further name.
func (c *Checker) hardLink(m *Member, dir File, base string) (File, error) {
	target, err := LinkTarget(m.Linkname)
	if err != nil {
		return 0, err
	}
	fail := func(err error) (File, error) { return 0, fmt.Errorf("hard link to %q: %w", m.Linkname, err) }
	if _, err := c.file(target); err != nil {
		return fail(err)
	}
	c.remove(m, dir, base)
	f, err := c.file(target)
	switch {
	case err != nil: // it was removed just now
		return fail(err)
	case c.kinds[f] == kindDir:
		return fail(fmt.Errorf("%w: it is a directory", ErrType))
	}
	c.put(dir, base, f)
	return f, c.attributes(f, m)
}
