package extract

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"

	"github.com/vbatts/tar-split/archive/tar"
)

// bufferSize is how much of a file is hashed and written at once.
const bufferSize = 256 << 10

// whiteoutPrefix starts the names of whiteouts, opaqueName is that of the entry
// that makes its directory opaque (OCI image specification, layer.md).
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
)

// unpacker unpacks one layer.
type unpacker struct {
	opts    Options
	dirs    *dirCache
	umask   uint32
	stale   bool // the open directories may be the wrong ones
	acl     bool // a default ACL was set: modes of new files are not what was asked for
	buf     []byte
	crc     hash.Hash64
	sum     hash.Hash
	written int64 // bytes of content so far
	result  Result

	uids, gids map[uint32]struct{}
	listed     []dirTime // directories of the tar, in its order
	implied    []string  // directories that only names of the tar imply
}

// dirTime is a directory whose times are set at the end, when nothing changes
// it any more.
type dirTime struct {
	path string
	hdr  *tar.Header
}

func newUnpacker(dir *os.File, buf []byte, opts Options) (*unpacker, error) {
	umask, err := readUmask()
	if err != nil {
		return nil, err
	}
	return &unpacker{
		opts:  opts,
		dirs:  newDirCache(int(dir.Fd())),
		umask: umask,
		buf:   buf,
		crc:   newCRC(),
		sum:   sha256.New(),
		uids:  make(map[uint32]struct{}),
		gids:  make(map[uint32]struct{}),
	}, nil
}

func (u *unpacker) close() { u.dirs.flush() }

// unpack reads the tar from p to the end of the stream.
func (u *unpacker) unpack(p *pump, tarSplit io.Writer) error {
	// The fork's reader gives the raw bytes that a tar-split is made of; its
	// parser is the standard library's.
	tr := tar.NewReader(p)
	tr.RawAccounting = true
	split := newSplitter(tarSplit)
	for {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return &RefusedError{Err: err}
		}
		if err := split.segment(tr.RawBytes()); err != nil {
			return err
		}
		content, err := u.entry(hdr, tr, p)
		if err != nil {
			return refuse(hdr.Name, err)
		}
		if err := split.file(hdr, content.checksum()); err != nil {
			return refuse(hdr.Name, err)
		}
		u.result.Files++
	}
	if err := u.endTable(); err != nil {
		return err
	}
	if err := split.rest(tr.RawBytes(), p, u.buf); err != nil {
		return err
	}
	return u.setDirTimes()
}

// entry unpacks one entry and proves its content.
func (u *unpacker) entry(hdr *tar.Header, tr *tar.Reader, p *pump) (*content, error) {
	u.dirs.next(u.stale)
	u.stale = false
	listed, err := u.compareTable(hdr)
	if err != nil {
		return nil, err
	}
	content := u.newContent(hdr, tr, p)
	if err := u.member(hdr, content); err != nil {
		return nil, err
	}
	if err := content.writeTo(discard); err != nil {
		return nil, err
	}
	return content, content.compare(listed)
}

// refuse decides whose fault an error is: the entry's or the machine's.
func refuse(name string, err error) error {
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		return err
	case entryFault(err):
		return &RefusedError{Name: name, Err: err}
	default:
		return fmt.Errorf("unpacking %q: %w", name, err)
	}
}

// member creates what one entry of the tar stands for.
func (u *unpacker) member(hdr *tar.Header, content *content) error {
	name := path.Clean(hdr.Name)
	base := path.Base(name)
	if !strings.HasPrefix(base, whiteoutPrefix) {
		u.uids[uint32(hdr.Uid)] = struct{}{}
		u.gids[uint32(hdr.Gid)] = struct{}{}
	}
	inside, err := insideRoot(name)
	if err != nil {
		return err
	}
	if inside == "" {
		return u.root(hdr, name)
	}
	if strings.HasPrefix(base, whiteoutPrefix) {
		return u.whiteout(hdr, path.Dir(inside), base)
	}
	parent, err := u.parentOf(inside)
	if err != nil {
		return err
	}
	return u.create(hdr, parent, inside, content)
}

// insideRoot returns a cleaned name without its leading slash, "" for the root
// itself. The library resolves names in a chroot, where nothing leads out; a
// name that tries to is no layer's.
func insideRoot(name string) (string, error) {
	name = strings.TrimPrefix(name, "/")
	if name == ".." || strings.HasPrefix(name, "../") {
		return "", ErrLeadsOut
	}
	if name == "." {
		return "", nil
	}
	return name, nil
}

// root takes the attributes of the root directory. As in the library an entry
// "." or "./" changes nothing, and "/" does.
func (u *unpacker) root(hdr *tar.Header, name string) error {
	if name == "." {
		return nil
	}
	if hdr.Typeflag != tar.TypeDir {
		return ErrType
	}
	if err := u.setXattrs(at{fd: u.dirs.root, name: "."}, hdr); err != nil {
		return err
	}
	u.result.Root = &Root{
		Mode: uint32(hdr.Mode) & 0o7777, UID: hdr.Uid, GID: hdr.Gid,
		Modified: sane(hdr.ModTime).UTC(),
	}
	return nil
}
