package image

import (
	"errors"
	"hash/maphash"
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
	target uint32 // of a symbolic link: text
	xattrs uint32 // text, see pack; 0: no extended attributes

	number uint32     // in the tree, from 1 on
	first  uint32     // of a directory: entry + 1
	inode  erofs.Node // once it is in the image
	placed bool
}

// nodeMemory is about what a tree takes for each file, in bytes, with its entry and a name.
const nodeMemory = 120

func (n *node) dir() bool { return n.kind == unix.S_IFDIR }

// add puts a new file, which has its first mode, into a directory. What a tree keeps of
// headers are copies, as they may be small parts of long pax records.
func (t *tree) add(parent *node, name string, n node) (*node, error) {
	below, err := t.newNode(n)
	if err != nil {
		return nil, err
	}
	if err := t.enter(parent, name, below); err != nil {
		return nil, err
	}
	if parent.mode&setGID != 0 {
		below.gid = parent.gid
	}
	return below, t.inherit(below, parent)
}

func (t *tree) newNode(n node) (*node, error) {
	t.memory.touch()
	n.number = uint32(t.nodes.n + 1)
	return t.nodes.add(t.memory, t.memory.nodePool(), n)
}

// tree is the extract.Tree of a layer. It holds no pointers for each file, so that all that
// a large one has can be in a file (see treeMemory). Where the kernel would refuse what
// package extract asks of it, tree answers with the kernel's errno.
type tree struct {
	memory  *treeMemory
	root    *node
	nodes   series[node]
	entries entries
	texts   texts
	opened  opened
	content func(hdr *tar.Header, c *extract.Content) (erofs.Content, error)
	devices bool           // device nodes are wanted
	listed  series[listed] // directories of the tar, in its order
	implied series[listed] // directories that only names of the tar imply

	replaced bool // a name has come to mean another file
}

// listed is a directory whose time is set at the end, when nothing replaces it
// any more.
type listed struct {
	nsec int64
	path uint32 // text
}

// newTree returns an empty tree. The caller calls free.
func newTree(memory *treeMemory, content func(*tar.Header, *extract.Content) (erofs.Content, error)) *tree {
	t := &tree{memory: memory, content: content, entries: entries{seed: maphash.MakeSeed()}}
	t.root, _ = t.newNode(node{kind: unix.S_IFDIR}) // the first nodes are in ordinary memory
	return t
}

// free gives the memory of the tree back, which must not be used any more. It may be called
// twice, and on nil.
func (t *tree) free() {
	if t == nil || t.memory == nil {
		return
	}
	m := t.memory
	t.nodes.free(&m.nodes)
	t.entries.free(&m.entries)
	t.entries.slots.free(&m.slots)
	t.listed.free(&m.listed)
	t.implied.free(&m.listed)
	t.texts.free(m)
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
	walk := walk{tree: t, above: []*node{t.root}}
	if err := walk.follow(name); err != nil {
		return nil, err
	}
	return walk.here(), nil
}

// walk is a place in a tree, with the directories above it.
type walk struct {
	tree  *tree
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
	n := w.tree.child(w.here(), part)
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
	return w.follow(string(w.tree.texts.at(n.target)))
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
	if t.child(above, base) != nil {
		return nil, unix.EEXIST // a symbolic link to nothing
	}
	// As the kernel has it, the directory inherits the set-group-ID bit.
	n, err := t.add(above, base, node{kind: unix.S_IFDIR, mode: 0o755 | above.mode&setGID})
	if err != nil {
		return nil, err
	}
	n.gid = 0
	return n, t.list(&t.implied, name, 0)
}

// remove takes a name out of a directory. What was below it is in no directory any
// more, also where something still holds a directory of it.
func (t *tree) remove(parent *node, name string) {
	if e := t.lookup(parent, name); e != nil && e.node != 0 {
		n := t.nodes.at(e.node - 1)
		e.node = 0
		t.replaced = true
		t.clear(n)
	}
}

func (t *tree) clear(n *node) {
	for next := n.first; next != 0; {
		e := t.entries.at(next - 1)
		if next = e.next; e.node != 0 {
			below := t.nodes.at(e.node - 1)
			e.node = 0
			if below.dir() {
				t.clear(below)
			}
		}
	}
}

// list notes a directory whose time is set at the end.
func (t *tree) list(in *series[listed], name string, nsec int64) error {
	text, err := t.texts.add(t.memory, name)
	if err == nil {
		_, err = in.add(t.memory, t.memory.listedPool(), listed{path: text, nsec: nsec})
	}
	return err
}

// Whiteout implements extract.Tree.
func (t *tree) Whiteout(hdr *tar.Header, parent, name string) error {
	d, err := t.parentOf(path.Join(parent, name))
	if err != nil {
		return err
	}
	if t.child(d, name) != nil {
		return extract.ErrWhiteout
	}
	n, err := t.add(d, name, node{kind: unix.S_IFCHR})
	if err != nil {
		return err
	}
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
	return t.setXattr(d, "trusted.overlay.opaque", "y")
}

// Root implements extract.Tree.
func (t *tree) Root(hdr *tar.Header) error { return t.setXattrs(t.root, hdr) }

// End implements extract.Tree: it sets the times of directories, by their names,
// whatever has those by now.
func (t *tree) End() error {
	for i := range t.implied.n {
		t.memory.touch()
		name := string(t.texts.at(t.implied.at(uint32(i)).path))
		if d, err := t.find(path.Dir(name)); err == nil {
			if n := t.child(d, path.Base(name)); n != nil && n.dir() {
				n.nsec = 0
			}
		}
	}
	for i := range t.listed.n {
		t.memory.touch()
		l := t.listed.at(uint32(i))
		name := string(t.texts.at(l.path))
		d, err := t.find(path.Dir(name))
		if err != nil {
			return &extract.RefusedError{Name: name, Err: err}
		}
		n := t.child(d, path.Base(name))
		if n == nil {
			return &extract.RefusedError{Name: name, Err: unix.ENOENT}
		}
		n.nsec = l.nsec
	}
	return t.pack()
}
