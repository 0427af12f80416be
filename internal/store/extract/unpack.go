package extract

import (
	"os"

	"github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sys/unix"
)

// unpacker is the Tree of one layer in a directory.
type unpacker struct {
	*scan
	dirs    *dirCache
	umask   uint32
	stale   bool      // the open directories may be the wrong ones
	acl     bool      // a default ACL was set: modes of new files are not what was asked for
	listed  []dirTime // directories of the tar, in its order
	implied []string  // directories that only names of the tar imply
}

// dirTime is a directory whose times are set at the end, when nothing changes
// it any more. It has no part of the header, which may be long.
type dirTime struct {
	path  string
	times [2]unix.Timespec
}

// keeps is about what an unpacker keeps of an entry, in bytes: the most of a directory.
const keeps = 112

func newUnpacker(dir *os.File, s *scan) (*unpacker, error) {
	umask, err := readUmask()
	if err != nil {
		return nil, err
	}
	return &unpacker{scan: s, dirs: newDirCache(int(dir.Fd())), umask: umask}, nil
}

func (u *unpacker) close() { u.dirs.flush() }

// begin makes ready for the next entry.
func (u *unpacker) begin() {
	u.dirs.next(u.stale)
	u.stale = false
}

// Create implements Tree.
func (u *unpacker) Create(hdr *tar.Header, name string, c *Content) error {
	u.begin()
	parent, err := u.parentOf(name)
	if err != nil {
		return err
	}
	return u.create(hdr, parent, name, c)
}

// Root implements Tree.
func (u *unpacker) Root(hdr *tar.Header) error {
	u.begin()
	return u.setXattrs(at{fd: u.dirs.root, name: "."}, hdr)
}

// End implements Tree.
func (u *unpacker) End() error { return u.setDirTimes() }
