package layerrules

import (
	"errors"
	"fmt"
	"hash/maphash"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/hashtable"
)

// File is a file of a layer, whatever names it has. 0 is none.
type File uint32

const rootFile File = 1

type kind uint8

const (
	kindDir   kind = iota + 1
	kindLink       // symbolic
	kindFile       // with a content
	kindEmpty      // without one
	kindOther      // nodes and whiteouts
)

// gone is the number of an entry that was removed.
const gone File = 1<<32 - 1

// tree are the files of a layer: names, kinds and targets of links, no more. It holds
// a few numbers for each of them.
type tree struct {
	sum     maphash.Hash
	kinds   []kind          // by File
	hashes  hashtable.Table // of entries of directories and of names, to a File
	targets texts           // of symbolic links
	attrs   map[File]int    // bytes of extended attributes
	each    map[uint64]int
	kept    int // bytes of names
	all     int // members, and directories that only names imply
}

func (t *tree) init() {
	if t.kinds != nil {
		return
	}
	t.sum.SetSeed(maphash.MakeSeed())
	t.kinds = []kind{0, kindDir}
	t.attrs = make(map[File]int)
	t.each = make(map[uint64]int)
}

// hash returns the hash of a name that belongs to a file. It has 64 bits and a seed of its
// own: in the largest layer two names have the same one once in two million times, and without the
// seed names that have cannot be made.
func (t *tree) hash(f File, name string) uint64 {
	t.sum.Reset()
	_, _ = t.sum.Write([]byte{byte(f), byte(f >> 8), byte(f >> 16), byte(f >> 24)}) // it returns no error
	_, _ = t.sum.WriteString(name)
	return t.sum.Sum64()
}

func (t *tree) newFile(k kind) File {
	t.kinds = append(t.kinds, k)
	return File(len(t.kinds) - 1)
}

// child returns an entry of a directory, 0 if there is none.
func (t *tree) child(dir File, name string) File {
	if f := File(t.hashes.Get(t.hash(dir, name))); f != gone {
		return f
	}
	return 0
}

func (t *tree) put(dir File, name string, f File) { t.hashes.Set(t.hash(dir, name), uint32(f)) }
func (t *tree) drop(dir File, name string)        { t.put(dir, name, gone) }

// target is what the symbolic link f leads to. No entry has its key: none is called "/".
func (t *tree) target(f File) string { return t.targets.get(t.hashes.Get(t.hash(f, "/"))) }

func (t *tree) setTarget(f File, target string) { t.hashes.Set(t.hash(f, "/"), t.targets.add(target)) }

// first notes the name of a member, and reports whether none before had it.
func (t *tree) first(name string) bool {
	key := t.hash(0, name) // no directory is file 0
	if t.hashes.Get(key) != 0 {
		return false
	}
	t.hashes.Set(key, uint32(rootFile))
	return true
}

// memory is about how many bytes names and targets take.
func (t *tree) memory() int64 { return int64(t.hashes.Len())*hashtable.Memory + int64(t.kept) }

// count counts a member, or a directory that only a name implies.
func (t *tree) count() error {
	if t.all++; t.all > MaxMembers {
		return fmt.Errorf("%w: at least %d files and directories, at most %d are allowed", ErrTooMany, t.all, MaxMembers)
	}
	return t.keep(0)
}

// keep accounts for n bytes of names.
func (t *tree) keep(n int) error {
	if t.kept += n; t.memory() > MaxMemory {
		return fmt.Errorf("%w: the names of its files and directories, and what its symbolic links lead to, need more than %d bytes of memory", ErrTooMany, MaxMemory)
	}
	return nil
}

// parent returns the directory of a name, and makes it where only names imply it.
func (t *tree) parent(name string) (File, error) {
	dir, err := t.mkdirAll(path.Dir(name))
	if err == nil && (len(path.Base(name)) > maxName || len(name) >= maxPath) {
		err = unix.ENAMETOOLONG
	}
	return dir, err
}

// mkdirAll returns the directory name, and makes it and those above it where they are
// missing. Those that only names imply count as members.
func (t *tree) mkdirAll(name string) (File, error) {
	if len(name) >= maxPath {
		return 0, unix.ENAMETOOLONG
	}
	w := walk{tree: t, above: []File{rootFile}}
	for part := range strings.SplitSeq(name, "/") {
		here := w.here()
		if f := t.child(here, part); f != 0 && t.kinds[f] == kindLink {
			err := w.step(part)
			if errors.Is(err, unix.ENOENT) {
				err = unix.EEXIST // a symbolic link to nothing
			}
			if err != nil {
				return 0, err
			}
			continue
		}
		err := w.step(part)
		if errors.Is(err, unix.ENOENT) {
			var f File
			if f, err = t.mkdir(here, part); err == nil {
				w.above = append(w.above, f)
			}
		}
		if err != nil {
			return 0, err
		}
	}
	return w.here(), nil
}

// mkdir makes a directory that only names imply.
func (t *tree) mkdir(above File, name string) (File, error) {
	if err := t.count(); err != nil {
		return 0, err
	}
	if err := t.keep(len(name)); err != nil {
		return 0, err
	}
	f := t.newFile(kindDir)
	t.put(above, name, f)
	return f, nil
}

// file returns what a name, relative to the root, leads to. A symbolic link at its end
// is not followed.
func (t *tree) file(name string) (File, error) {
	if len(name) >= maxPath {
		return 0, unix.ENAMETOOLONG
	}
	dir, err := t.find(path.Dir(name))
	if err != nil {
		return 0, err
	}
	f := t.child(dir, path.Base(name))
	if f == 0 {
		return 0, unix.ENOENT
	}
	return f, nil
}

// find returns the directory that name leads to, over all symbolic links, as openat2
// does with RESOLVE_IN_ROOT and O_DIRECTORY.
func (t *tree) find(name string) (File, error) {
	if len(name) >= maxPath {
		return 0, unix.ENAMETOOLONG
	}
	w := walk{tree: t, above: []File{rootFile}}
	err := w.follow(name)
	return w.here(), err
}

// walk is a place in a tree, with the directories above it.
type walk struct {
	tree  *tree
	above []File
	links int
}

func (w *walk) here() File { return w.above[len(w.above)-1] }

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
	f := w.tree.child(w.here(), part)
	switch {
	case f == 0:
		return unix.ENOENT
	case w.tree.kinds[f] == kindDir:
		w.above = append(w.above, f)
		return nil
	case w.tree.kinds[f] != kindLink:
		return unix.ENOTDIR
	}
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	return w.follow(w.tree.target(f))
}
