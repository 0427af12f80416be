package verify

import (
	"encoding/binary"
	"hash/maphash"
	"path"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/hashtable"
)

// What is known of a place whose file the tar has. A file that is what the tar wants is
// no more than this: a layer may have millions.
const (
	isThere  = 1 << iota
	isDir    // it must be a directory
	isOpaque // it must hide what lower layers have
	hasAttrs // a directory whose extended attributes were compared, but for whether it is opaque
	differs  // see layerCheck.differ
)

// maxDiffer bounds what is held of the files of a layer that are looked at again at the
// end, because they are not what their own entry wants, in bytes: some 100,000 files. A
// later entry may change what is wanted, as that of a directory does which the names of its
// files implied. What comes when so many differ is judged at once.
const maxDiffer = 64 << 20

// waiting is what is wanted of a file that is looked at again at the end. bytes is about
// what is held of it.
type waiting struct {
	*wanted
	bytes int64
}

// maxFindings bounds what is told of one layer, and of a store.
const maxFindings = 10_000

// key is the hash of a place: with 64 bits and a seed that is not known beforehand, no two
// are the same.
func (v *layerCheck) key(at place) uint64 {
	var ino [8]byte
	binary.NativeEndian.PutUint64(ino[:], at.dir)
	v.hash.Reset()
	_, _ = v.hash.Write(ino[:]) // it returns no error
	_, _ = v.hash.WriteString(at.name)
	return v.hash.Sum64()
}

// inode is the hash of an inode's number.
func (v *layerCheck) inode(ino uint64) uint64 { return maphash.Comparable(v.seed, ino) }

// held is about what is held of the layer, in bytes.
func (v *layerCheck) held() int64 {
	return int64(v.places.Len()+v.proven.Len())*hashtable.Memory + v.waiting
}

// settle compares the file of the last header, whose content was read since.
func (v *layerCheck) settle() error {
	w := v.last
	if w == nil {
		return nil
	}
	v.last = nil
	return v.judge(w, v.lastAt, v.lastLinked)
}

// judge compares a file with what is wanted of it, and keeps what is wanted if it is not
// that. linked says that further names of the file may follow.
func (v *layerCheck) judge(w *wanted, key uint64, linked bool) error {
	w.opaque = v.places.Get(key)&isOpaque != 0
	v.waiting -= v.differ[key].bytes
	delete(v.differ, key)
	if linked {
		delete(v.linked, w.is.ino)
	}
	d, err := v.root.dir(path.Dir(w.path))
	if err != nil {
		return v.missing(w.path, err)
	}
	base := path.Base(w.path)
	compare := func() error {
		if err := v.compareOne(w, w.path, d.fd, base); err != nil || w.kind != unix.S_IFDIR || len(w.xattrs) == 0 {
			return err
		}
		return v.compareXattrs(w, w.path, d.fd, base)
	}
	v.silent, v.differing = true, false
	err = compare()
	v.silent = false
	if err != nil {
		return err
	}
	if v.differing {
		if v.waiting < maxDiffer {
			v.wait(key, w)
			if linked {
				v.linked[w.is.ino] = w
			}
			return nil
		}
		if err := compare(); err != nil {
			return err
		}
	}
	state := uint32(isThere)
	if w.kind == unix.S_IFDIR {
		state |= isDir
		if len(w.xattrs) > 0 {
			state |= hasAttrs
		}
		if w.opaque || w.xattrs[opaqueXattr] == "y" {
			state |= isOpaque
		}
	}
	v.places.Set(key, state)
	if linked {
		v.proven.Set(v.inode(w.is.ino), 1)
	}
	return nil
}

// wait has a place compared at the end, when nothing of the tar changes it any more. Its
// extended attributes are read again then.
func (v *layerCheck) wait(key uint64, w *wanted) {
	v.places.Set(key, v.places.Get(key)&isOpaque|isThere|differs)
	w.has, w.hasRead = nil, false
	held := waiting{w, w.memory()}
	v.waiting += held.bytes - v.differ[key].bytes
	v.differ[key] = held
}
