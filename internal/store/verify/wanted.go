package verify

import (
	"archive/tar"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"golang.org/x/sys/unix"
)

const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
	opaqueXattr    = "trusted.overlay.opaque"
	paxXattr       = "SCHILY.xattr."
	labelXattr     = "security.selinux"
	aclAccess      = "system.posix_acl_access"
	aclDefault     = "system.posix_acl_default"
)

// wantedMemory is about what a wanted takes beside its texts, and xattrMemory what an
// extended attribute takes beside its own, in bytes.
const (
	wantedMemory = 480
	xattrMemory  = 128
)

// wanted is what the tar says that a file must be.
type wanted struct {
	path   string
	kind   uint32 // S_IFMT
	mode   uint32
	uid    uint32
	gid    uint32
	mtime  time.Time
	size   int64 // of a regular file, -1 where another entry says it
	link   string
	device uint64
	xattrs map[string]string
	opaque bool
	// implied is a directory that only other names imply, whiteout one of
	// overlay's: few of their attributes are the tar's.
	implied, whiteout bool
	// proven is a further name of a file that is what its earlier names wanted: its
	// size, target, device and extended attributes but for the xattrs.
	proven bool

	// is what the file is, as it was found.
	is looks
	// xattrs that it has, once they were read.
	has     map[string]string
	hasRead bool
}

// memory is about what is held of w, in bytes.
func (w *wanted) memory() int64 {
	n := wantedMemory + len(w.path) + len(w.link)
	for k, x := range w.xattrs {
		n += xattrMemory + len(k) + len(x)
	}
	return int64(n)
}

// looks is what is compared of a file's attributes.
type looks struct {
	mode, uid, gid uint32
	size           int64
	device, ino    uint64
	mtime          unix.Timespec
}

func looksOf(st *unix.Stat_t) looks {
	return looks{mode: st.Mode, uid: st.Uid, gid: st.Gid, size: st.Size, device: st.Rdev, ino: st.Ino, mtime: st.Mtim}
}

// header notes what one entry of the tar wants.
func (v *layerCheck) header(hdr *tar.Header) error {
	if err := v.settle(); err != nil {
		return err
	}
	if err := v.work.Hold(v.held()); err != nil {
		return err
	}
	if v.result.Files >= layerrules.MaxMembers {
		return fmt.Errorf("it has more than %d entries", layerrules.MaxMembers)
	}
	// Parts of a header are copied: they may be small parts of long pax records.
	name := strings.Clone(clean(hdr.Name))
	base := path.Base(name)
	if base == opaqueName {
		v.result.Files++
		return v.opaque(path.Dir(name))
	}
	if rest, ok := strings.CutPrefix(base, whiteoutPrefix); ok {
		v.result.Files++
		return v.add(&wanted{path: path.Join(path.Dir(name), rest), kind: unix.S_IFCHR, whiteout: true})
	}
	v.uids[uint32(hdr.Uid)] = struct{}{}
	v.gids[uint32(hdr.Gid)] = struct{}{}
	if len(v.uids) > layerrules.MaxOwners || len(v.gids) > layerrules.MaxOwners {
		return layerrules.ErrOwners
	}
	v.result.Files++
	if hdr.Typeflag == tar.TypeXGlobalHeader || name == "." {
		if path.Clean(hdr.Name) == "/" { // as in the library, "." changes nothing
			v.result.Root = &extract.Root{
				Mode: uint32(hdr.Mode) & 0o7777, UID: hdr.Uid, GID: hdr.Gid, Modified: sane(hdr.ModTime).UTC(),
			}
		}
		return nil
	}
	w := &wanted{
		path: name, mode: uint32(hdr.Mode) & 0o7777, uid: owner(hdr.Uid), gid: uint32(hdr.Gid),
		mtime: sane(hdr.ModTime), xattrs: xattrsOf(hdr), size: -1,
	}
	if _, ok := w.xattrs[aclDefault]; ok {
		v.acl = true
	}
	switch hdr.Typeflag {
	case tar.TypeReg:
		w.kind, w.size = unix.S_IFREG, hdr.Size
	case tar.TypeDir:
		w.kind = unix.S_IFDIR
	case tar.TypeSymlink:
		w.kind, w.link, w.mode, w.mtime = unix.S_IFLNK, strings.Clone(hdr.Linkname), 0o777, time.Unix(0, hdr.ModTime.UnixNano())
	case tar.TypeChar:
		w.kind, w.device = unix.S_IFCHR, unix.Mkdev(uint32(hdr.Devmajor), uint32(hdr.Devminor))
	case tar.TypeBlock:
		w.kind, w.device = unix.S_IFBLK, unix.Mkdev(uint32(hdr.Devmajor), uint32(hdr.Devminor))
	case tar.TypeFifo:
		w.kind = unix.S_IFIFO
	case tar.TypeLink:
		return v.hardLink(w, hdr.Linkname)
	default:
		return errors.New("an entry of a type that has no place in a layer")
	}
	return v.add(w)
}

// hardLink wants w to be the same file as target. Its header's attributes are
// the file's from then on.
func (v *layerCheck) hardLink(w *wanted, target string) error {
	at, st, err := v.root.stat(w.path)
	if err != nil {
		return v.missing(w.path, err)
	}
	_, of, err := v.root.stat(clean(target))
	if errors.Is(err, unix.ENOENT) {
		of, err = st, nil // the target's own entry tells
	}
	if err != nil {
		return v.missing(w.path, err)
	}
	if st.Ino != of.Ino {
		v.finding(w.path, "it is no hard link to %s", clean(target))
	}
	w.kind = of.Mode & unix.S_IFMT
	w.is = looksOf(&st)
	if old := v.linked[st.Ino]; old != nil {
		w.merge(old)
		*old = *w
		v.wait(v.key(at), old)
	} else {
		if v.proven.Get(v.inode(st.Ino)) != 0 {
			w.proven, w.device = true, st.Rdev
			if w.kind == unix.S_IFLNK {
				w.mode, w.mtime = 0o777, time.Unix(st.Mtim.Unix())
			}
		}
		v.last, v.lastAt, v.lastLinked = w, v.key(at), true
	}
	return v.above(path.Dir(w.path))
}

// merge takes what old, an earlier name of the same file, wants besides.
func (w *wanted) merge(old *wanted) {
	w.size, w.link, w.device, w.proven = old.size, old.link, old.device, old.proven
	for k, x := range old.xattrs {
		if _, ok := w.xattrs[k]; !ok {
			w.xattrs = with(w.xattrs, k, x)
		}
	}
	if w.kind == unix.S_IFLNK {
		w.mode, w.mtime = old.mode, old.mtime
	}
	w.has, w.hasRead = old.has, old.hasRead
}

// add notes a file that the tar has.
func (v *layerCheck) add(w *wanted) error {
	at, st, err := v.root.stat(w.path)
	if err != nil {
		if w.whiteout && errors.Is(err, unix.ENOTDIR) {
			return nil // the directory itself is gone by a whiteout
		}
		return v.missing(w.path, err)
	}
	w.is = looksOf(&st)
	v.last, v.lastAt, v.lastLinked = w, v.key(at), st.Nlink > 1 && w.kind != unix.S_IFDIR
	return v.above(path.Dir(w.path))
}

// opaque wants the directory name to hide what lower layers have.
func (v *layerCheck) opaque(name string) error {
	if name == "." {
		return nil // the root's attributes are checked with the store's metadata
	}
	if err := v.above(name); err != nil {
		return err
	}
	at, _, err := v.root.stat(name)
	if err != nil {
		return v.missing(name, err)
	}
	key := v.key(at)
	if s := v.places.Get(key); s != 0 {
		v.places.Set(key, s|isOpaque)
	}
	if w := v.differ[key].wanted; w != nil {
		w.opaque = true
	}
	return nil
}

// above notes the directories that a name implies. Where one is reached through
// a symbolic link, that is an entry of its own.
func (v *layerCheck) above(name string) error {
	if name == v.lastAbove {
		return nil
	}
	v.lastAbove = name
	for ; name != "." && name != "/"; name = path.Dir(name) {
		at, st, err := v.root.stat(name)
		if err != nil {
			return v.missing(name, err)
		}
		key := v.key(at)
		if v.places.Get(key) != 0 || v.last != nil && key == v.lastAt {
			return nil
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			continue // the directory that it leads to has a name of its own
		}
		w := &wanted{path: name, kind: unix.S_IFDIR, mode: 0o755, mtime: time.Unix(0, 0), implied: true, size: -1, is: looksOf(&st)}
		if err := v.judge(w, key, false); err != nil {
			return err
		}
	}
	return nil
}

// missing tells that a file is not there; other errors are the machine's.
func (v *layerCheck) missing(name string, err error) error {
	if machineFault(err) {
		return err
	}
	v.finding(name, "it is missing or out of reach: %w", err)
	return nil
}

func xattrsOf(hdr *tar.Header) map[string]string {
	var out map[string]string
	for key, value := range hdr.PAXRecords {
		if name, ok := strings.CutPrefix(key, paxXattr); ok && name != labelXattr && layerrules.Supported(name) {
			out = with(out, strings.Clone(name), strings.Clone(value))
		}
	}
	return out
}

func with(m map[string]string, k, v string) map[string]string {
	if m == nil {
		m = make(map[string]string)
	}
	m[k] = v
	return m
}

// owner is the owner that chown makes of a number: of -1 it makes none, and root, who
// made the file, remains.
func owner(uid int) uint32 {
	if uint32(uid) == extract.NoOwner {
		return 0
	}
	return uint32(uid)
}

// sane replaces a time that a file cannot have everywhere, as extraction does.
func sane(t time.Time) time.Time {
	if t.Before(time.Unix(0, 0)) || t.After(time.Unix(0, 1<<63-1)) {
		return time.Unix(0, 0)
	}
	return t
}
