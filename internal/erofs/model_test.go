package erofs_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/erofs"
)

// tree is what an image is to hold: by path, "." for the root. Two paths with the same
// pointer are hard links.
type tree map[string]*file

type file struct {
	mode     uint32 // with the type
	uid, gid uint32
	mtime    time.Time
	xattrs   map[string]string
	data     []byte // of a file, or the target of a symlink
	dev      erofs.Dev
}

const (
	typeMask = 0o170000
	typeFIFO = 0o010000
	typeChr  = 0o020000
	typeDir  = 0o040000
	typeBlk  = 0o060000
	typeReg  = 0o100000
	typeLnk  = 0o120000
	typeSock = 0o140000
)

var epoch = time.Unix(1_700_000_000, 0)

func dir() *file { return &file{mode: typeDir | 0o755, mtime: epoch} }
func regular(data string) *file {
	return &file{mode: typeReg | 0o644, mtime: epoch, data: []byte(data)}
}
func symlink(to string) *file        { return &file{mode: typeLnk | 0o777, mtime: epoch, data: []byte(to)} }
func (f *file) at(t time.Time) *file { f.mtime = t; return f }
func (f *file) xattr(name, value string) *file {
	if f.xattrs == nil {
		f.xattrs = map[string]string{}
	}
	f.xattrs[name] = value
	return f
}

// parents adds the directories that paths of the tree need.
func (tr tree) parents() tree {
	for _, p := range slices.Collect(maps.Keys(tr)) {
		for p != "." {
			p = path.Dir(p)
			if tr[p] == nil {
				tr[p] = dir()
			}
		}
	}
	if tr["."] == nil {
		tr["."] = dir()
	}
	return tr
}

func (f *file) attr() erofs.Attr {
	return erofs.Attr{Mode: f.mode &^ typeMask, UID: f.uid, GID: f.gid, ModTime: f.mtime, Xattrs: f.xattrs}
}

func options(root *file) erofs.Options {
	return erofs.Options{BuildTime: epoch, UUID: erofs.UUIDOf([]byte("test")), Volume: "test", Root: root.attr()}
}

// build writes the image of a tree to a new file and returns its name. order arranges
// the paths; parents before children whatever it does.
func (tr tree) build(t testing.TB, order func(paths []string)) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	image := create(t, name)
	got := tr.buildTo(t, image, create(t, name+".spool"), order)
	if st, err := image.Stat(); err != nil || st.Size() != got.Size {
		t.Errorf("the image has %d bytes, Finish says %d (%v)", st.Size(), got.Size, err)
	}
	return name
}

func (tr tree) buildTo(t testing.TB, image io.WriterAt, spool erofs.Spool, order func(paths []string)) erofs.Image {
	t.Helper()
	opts := options(tr["."])
	opts.Spool = spool
	b, err := erofs.New(image, opts)
	if err != nil {
		t.Fatal(err)
	}
	contents := tr.write(t, b)
	paths := slices.Sorted(maps.Keys(tr))
	if order != nil {
		order(paths)
	}
	add := adder{t: t, b: b, tr: tr, contents: contents, nodes: map[string]erofs.Node{".": erofs.Root}, links: map[*file]erofs.Node{}}
	for _, p := range paths {
		add.path(p)
	}
	got, err := b.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// memory is a file in memory.
type memory struct{ data []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if end := int(off) + len(p); end > len(m.data) {
		m.data = append(m.data, make([]byte, end-len(m.data))...)
	}
	return copy(m.data[off:], p), nil
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.data).ReadAt(p, off)
}

func create(t testing.TB, name string) *os.File {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// write reserves and writes the distinct contents.
func (tr tree) write(t testing.TB, b *erofs.Builder) map[string]erofs.Content {
	t.Helper()
	contents := map[string]erofs.Content{}
	var order []string
	for _, p := range slices.Sorted(maps.Keys(tr)) {
		data := string(tr[p].data)
		if _, ok := contents[data]; ok || tr[p].mode&typeMask != typeReg {
			continue
		}
		c, err := b.Reserve(int64(len(data)), 1)
		if err != nil {
			t.Fatal(err)
		}
		contents[data] = c
		order = append(order, data)
	}
	w := b.NewWriter()
	for _, data := range order {
		if err := w.Copy(contents[data], strings.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return contents
}

type adder struct {
	t        testing.TB
	b        *erofs.Builder
	tr       tree
	contents map[string]erofs.Content
	nodes    map[string]erofs.Node
	links    map[*file]erofs.Node
}

// path adds a path after its parents, once.
func (a *adder) path(p string) erofs.Node {
	a.t.Helper()
	if n, ok := a.nodes[p]; ok {
		return n
	}
	parent, name, f := a.path(path.Dir(p)), path.Base(p), a.tr[p]
	var n erofs.Node
	var err error
	if first, ok := a.links[f]; ok {
		n, err = first, a.b.Link(parent, name, first)
	} else {
		n, err = a.add(parent, name, f)
	}
	if err != nil {
		a.t.Fatalf("%s: %v", p, err)
	}
	a.nodes[p] = n
	a.links[f] = n
	return n
}

func (a *adder) add(parent erofs.Node, name string, f *file) (erofs.Node, error) {
	switch f.mode & typeMask {
	case typeDir:
		return a.b.Dir(parent, name, f.attr())
	case typeReg:
		return a.b.File(parent, name, f.attr(), a.contents[string(f.data)])
	case typeLnk:
		return a.b.Symlink(parent, name, f.attr(), string(f.data))
	default:
		return a.b.Special(parent, name, f.attr(), erofs.Special(f.mode&typeMask), f.dev)
	}
}

// seen is what a reader tells of a path.
type seen struct {
	mode     uint32
	uid, gid uint32
	sec      int64
	nsec     int
	size     int64
	nlink    uint64
	rdev     uint64
	xattrs   string
	data     string // target, or a digest
	ino      string // the first path with this inode
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

func xattrText(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+digest([]byte(m[k])))
	}
	return strings.Join(out, " ")
}

// want is what a reader is to tell of the tree. Sizes of directories are left out.
func (tr tree) want() map[string]seen {
	out := map[string]seen{}
	nlink := map[*file]uint64{}
	first := map[*file]string{}
	for _, p := range slices.Sorted(maps.Keys(tr)) {
		f := tr[p]
		if first[f] == "" {
			first[f] = p
		}
		nlink[f]++
		if f.mode&typeMask == typeDir {
			nlink[f]++
			if p != "." {
				nlink[tr[path.Dir(p)]]++
			}
		}
	}
	for p, f := range tr {
		s := seen{
			mode: f.mode, uid: f.uid, gid: f.gid, sec: f.mtime.Unix(), nsec: f.mtime.Nanosecond(),
			nlink: nlink[f], xattrs: xattrText(f.xattrs), ino: first[f],
		}
		switch f.mode & typeMask {
		case typeReg:
			s.size, s.data = int64(len(f.data)), digest(f.data)
		case typeLnk:
			s.size, s.data = int64(len(f.data)), string(f.data)
		case typeChr, typeBlk:
			major, minor := uint64(f.dev.Major), uint64(f.dev.Minor)
			s.rdev = major<<8 | minor&0xff | minor&^0xff<<12
		}
		out[p] = s
	}
	return out
}

// compare reports the differences of two views of a tree.
func compare(t testing.TB, reader string, got, want map[string]seen) {
	t.Helper()
	for p, w := range want {
		if g, ok := got[p]; !ok {
			t.Errorf("%s: %q is missing", reader, short(p))
		} else if g != w {
			t.Errorf("%s: %q:\n got %+v\nwant %+v", reader, short(p), g, w)
		}
	}
	for p := range got {
		if _, ok := want[p]; !ok {
			t.Errorf("%s: %q is too much", reader, short(p))
		}
	}
}

func short(p string) string {
	if len(p) > 100 {
		return fmt.Sprintf("%s…(%d)", p[:100], len(p))
	}
	return p
}

// pattern is n bytes that differ from block to block.
func pattern(n int, seed uint64) []byte {
	var out bytes.Buffer
	for i := uint64(0); out.Len() < n; i++ {
		sum := sha256.Sum256(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, seed), i))
		out.Write(sum[:])
	}
	return out.Bytes()[:n]
}
