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
		if err := im.describeDir(j.root, j.diffs[i]); err != nil {
			return fmt.Errorf("layer %s: %w", l.ID, err)
		}
	}
	j.root.children = nil
	return nil
}

// describeDir puts what is in the directory n into the directory at.
func (im *importer) describeDir(n *node, at erofs.Node) error {
	for name, below := range n.children {
		if below.dir() {
			d, err := im.build.Dir(at, name, below.attr())
			if err != nil {
				return err
			}
			if err := im.describeDir(below, d); err != nil {
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
		if below.inode, err = im.describeFile(below, at, name); err != nil {
			return err
		}
		below.placed = true
	}
	return nil
}

// describeFile makes the first name of a file.
func (im *importer) describeFile(n *node, at erofs.Node, name string) (erofs.Node, error) {
	switch n.kind {
	case unix.S_IFREG:
		return im.build.File(at, name, n.attr(), n.data)
	case unix.S_IFLNK:
		return im.build.Symlink(at, name, n.attr(), n.target)
	default:
		return im.build.Special(at, name, n.attr(), erofs.Special(n.kind), n.dev)
	}
}

// attr are the attributes of a node in the image.
func (n *node) attr() erofs.Attr {
	a := erofs.Attr{Mode: uint32(n.mode), UID: n.uid, GID: n.gid, Xattrs: n.xattrs}
	if n.nsec != 0 {
		a.ModTime = time.Unix(0, n.nsec)
	}
	if n.kind == unix.S_IFLNK {
		a.Mode = 0o777
	}
	return a
}
