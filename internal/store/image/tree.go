package image

import (
	"errors"
	"path"
	"strings"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sys/unix"
)

// node is a file of a layer. Hard links are several names of one node.
type node struct {
	kind   uint16 // unix.S_IFMT bits
	mode   uint16 // 07777
	uid    uint32
	gid    uint32
	nsec   int64 // time of modification, from the epoch
	dev    erofs.Dev
	data   erofs.Content
	target string // of a symbolic link
	xattrs map[string]string

	children map[string]*node // of a directory
	inode    erofs.Node       // once it is in the image
	placed   bool
}

// nodeMemory is about what a tree takes for each file, in bytes, with its entry.
const nodeMemory = 200

func (n *node) dir() bool { return n.kind == unix.S_IFDIR }

func newDir(mode uint16) *node {
	return &node{kind: unix.S_IFDIR, mode: mode, children: make(map[string]*node)}
}

// add puts a new file, which has its first mode, into a directory. What a tree keeps of
// headers are copies, as they may be small parts of long pax records.
func (n *node) add(name string, below *node) {
	n.children[strings.Clone(name)] = below
	if n.mode&setGID != 0 {
		below.gid = n.gid
	}
	below.inherit(n)
}

// tree is the extract.Tree of a layer in memory. Where the kernel would refuse what
// package extract asks of it, tree answers with the kernel's errno.
type tree struct {
	root    *node
	content func(hdr *tar.Header, c *extract.Content) (erofs.Content, error)
	devices bool     // device nodes are wanted
	listed  []listed // directories of the tar, in its order
	implied []string // directories that only names of the tar imply

	replaced bool // a name has come to mean another file
}

// listed is a directory whose time is set at the end, when nothing replaces it
// any more.
type listed struct {
	path string
	nsec int64
}

func newTree(content func(*tar.Header, *extract.Content) (erofs.Content, error)) *tree {
	return &tree{root: newDir(0), content: content}
}

// setGID is the bit of a directory whose group its files get.
const setGID = 0o2000

// Limits of Linux.
const (
	maxName  = 255
	maxPath  = 4096 // with the NUL
	maxLinks = 40   // symbolic links followed on the way of one name
)

// find follows name, and all symbolic links on its way, from the root. It is what
// openat2 does with RESOLVE_IN_ROOT and O_DIRECTORY.
func (t *tree) find(name string) (*node, error) {
	if len(name) >= maxPath {
		return nil, unix.ENAMETOOLONG
	}
	walk := walk{root: t.root, above: []*node{t.root}}
	if err := walk.follow(name); err != nil {
		return nil, err
	}
	return walk.here(), nil
}

// walk is a place in a tree, with the directories above it.
type walk struct {
	root  *node
	above []*node
	links int
}

func (w *walk) here() *node { return w.above[len(w.above)-1] }

func (w *walk) follow(name string) error {
	if strings.HasPrefix(name, "/") {
		w.above = w.above[:1]
	}
	for name != "" {
		var part string
		part, name, _ = strings.Cut(name, "/")
		if err := w.step(part); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) step(part string) error {
	switch {
	case part == "" || part == ".":
		return nil
	case part == "..":
		w.above = w.above[:max(1, len(w.above)-1)]
		return nil
	case len(part) > maxName:
		return unix.ENAMETOOLONG
	}
	n := w.here().children[part]
	switch {
	case n == nil:
		return unix.ENOENT
	case n.dir():
		w.above = append(w.above, n)
		return nil
	case n.kind != unix.S_IFLNK:
		return unix.ENOTDIR
	}
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	return w.follow(n.target)
}

// parentOf returns the directory that holds name, and makes it where only names
// imply it.
func (t *tree) parentOf(name string) (*node, error) {
	d, err := t.mkdirAll(path.Dir(name))
	if err == nil && len(path.Base(name)) > maxName {
		err = unix.ENAMETOOLONG
	}
	return d, err
}

func (t *tree) mkdirAll(name string) (*node, error) {
	d, err := t.find(name)
	if name == "." || !errors.Is(err, unix.ENOENT) {
		return d, err
	}
	above, err := t.mkdirAll(path.Dir(name))
	if err != nil {
		return nil, err
	}
	base := path.Base(name)
	if above.children[base] != nil {
		return nil, unix.EEXIST // a symbolic link to nothing
	}
	// As the kernel has it, the directory inherits the set-group-ID bit.
	n := newDir(0o755 | above.mode&setGID)
	above.add(base, n)
	n.gid = 0
	t.implied = append(t.implied, strings.Clone(name))
	return n, nil
}

// remove takes a name out of a directory. What was below it is in no directory any
// more, also where something still holds a directory of it.
func (t *tree) remove(parent *node, name string) {
	n := parent.children[name]
	delete(parent.children, name)
	if n != nil {
		t.replaced = true
		clearTree(n)
	}
}

func clearTree(n *node) {
	for _, below := range n.children {
		clearTree(below)
	}
	clear(n.children)
}

// Whiteout implements extract.Tree.
func (t *tree) Whiteout(hdr *tar.Header, parent, name string) error {
	d, err := t.parentOf(path.Join(parent, name))
	if err != nil {
		return err
	}
	if d.children[name] != nil {
		return extract.ErrWhiteout
	}
	n := &node{kind: unix.S_IFCHR}
	d.add(name, n)
	n.own(hdr)
	n.touch(hdr)
	return nil
}

// Opaque implements extract.Tree.
func (t *tree) Opaque(dir string) error {
	d, err := t.mkdirAll(dir)
	if err != nil {
		return err
	}
	return d.setXattr("trusted.overlay.opaque", "y")
}

// Root implements extract.Tree.
func (t *tree) Root(hdr *tar.Header) error { return t.root.setXattrs(hdr) }

// End implements extract.Tree: it sets the times of directories, by their names,
// whatever has those by now.
func (t *tree) End() error {
	for _, name := range t.implied {
		if d, err := t.find(path.Dir(name)); err == nil {
			if n := d.children[path.Base(name)]; n != nil && n.dir() {
				n.nsec = 0
			}
		}
	}
	for _, l := range t.listed {
		d, err := t.find(path.Dir(l.path))
		if err != nil {
			return &extract.RefusedError{Name: l.path, Err: err}
		}
		n := d.children[path.Base(l.path)]
		if n == nil {
			return &extract.RefusedError{Name: l.path, Err: unix.ENOENT}
		}
		n.nsec = l.nsec
	}
	return nil
}
