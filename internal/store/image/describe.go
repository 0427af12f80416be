package image

import (
	"fmt"
	"time"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"golang.org/x/sys/unix"
)

// describe puts the tree of a job into the image, once for each of its layers. The
// first one has the files, the others hard links to them. The tree is given back
// but for its root, whose attributes depend on the layers below.
func (im *importer) describe(j *job) error {
	for i, l := range j.Layers {
		if err := im.describeDir(j.tree, j.tree.root, j.diffs[i]); err != nil {
			return fmt.Errorf("layer %s: %w", l.ID, err)
		}
	}
	j.attrs = j.tree.xattrs(j.tree.root)
	return nil
}

// describeDir puts what is in the directory n into the directory at.
func (im *importer) describeDir(t *tree, n *node, at erofs.Node) error {
	for name, below := range t.children(n) {
		if below.dir() {
			d, err := im.build.Dir(at, name, t.attr(below))
			if err != nil {
				return err
			}
			if err := im.describeDir(t, below, d); err != nil {
				return err
			}
			continue
		}
		if below.placed {
			if err := im.build.Link(at, name, below.inode); err != nil {
				return err
			}
			continue
		}
		var err error
		if below.inode, err = im.describeFile(t, below, at, name); err != nil {
			return err
		}
		below.placed = true
	}
	return nil
}

// describeFile makes the first name of a file.
func (im *importer) describeFile(t *tree, n *node, at erofs.Node, name string) (erofs.Node, error) {
	switch n.kind {
	case unix.S_IFREG:
		return im.build.File(at, name, t.attr(n), n.data)
	case unix.S_IFLNK:
		return im.build.Symlink(at, name, t.attr(n), string(t.texts.at(n.target)))
	default:
		return im.build.Special(at, name, t.attr(n), erofs.Special(n.kind), n.dev)
	}
}

// attr are the attributes of a node in the image.
func (t *tree) attr(n *node) erofs.Attr {
	a := erofs.Attr{Mode: uint32(n.mode), UID: n.uid, GID: n.gid, Xattrs: t.xattrs(n)}
	if n.nsec != 0 {
		a.ModTime = time.Unix(0, n.nsec)
	}
	if n.kind == unix.S_IFLNK {
		a.Mode = 0o777
	}
	return a
}
