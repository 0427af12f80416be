package extract

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"time"

	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sys/unix"
)

// Tree is what the entries of a layer make: a directory, or what Scan is given.
// Names are cleaned, relative, and none leads out by itself; that of the root is
// ".". Symbolic links on the way of a name are followed inside of the layer, and
// directories that only names imply come to be. Errors that the entry is to blame
// for are errnos of Linux or the Err* values of this package.
type Tree interface {
	// Create makes an entry, in place of what has its name. What it does not read
	// of the content is read after it.
	Create(hdr *tar.Header, name string, c *Content) error
	// Whiteout makes a whiteout of name in the directory parent; ErrWhiteout
	// where the layer itself has that.
	Whiteout(hdr *tar.Header, parent, name string) error
	// Opaque makes a directory opaque.
	Opaque(dir string) error
	// Root takes the extended attributes of the root directory.
	Root(hdr *tar.Header) error
	// End follows the last entry.
	End() error
}

// Scan reads a plain tar for tree: what Layer does, but for the directory. The
// Result is proven only together with the digest that the caller compares.
func (e *Extractor) Scan(ctx context.Context, stream io.Reader, tree Tree, tarSplit io.Writer, opts Options) (*Result, error) {
	s := e.newScan(opts)
	s.tree = tree
	return e.run(ctx, s, stream, tarSplit)
}

// Replay reads a plain tar of which all is known but what its headers say: nothing of
// it is hashed, contents are read where the tree or the options want them and else
// skipped. The tar is the stream from its beginning to its end. The Result has no
// diff ID: that the tar is the layer's is for the caller to know. Sparse files, and what has a
// size without being a file, are refused.
func (e *Extractor) Replay(ctx context.Context, stream io.ReadSeeker, tree Tree, opts Options) (*Result, error) {
	s := e.newScan(opts)
	s.tree, s.known = tree, true
	if err := s.replay(ctx, stream); err != nil {
		return nil, err
	}
	return s.outcome(), nil
}

// Modified returns the time of modification of what hdr makes.
func Modified(hdr *tar.Header) time.Time {
	if hdr.Typeflag == tar.TypeSymlink {
		return time.Unix(0, hdr.ModTime.UnixNano())
	}
	return sane(hdr.ModTime)
}

// Inherited returns the attributes of the root directory of a layer that sets none:
// those of the layer below it, nil for a base layer.
func Inherited(below *Root) Root {
	if below == nil {
		return Root{Mode: 0o555, Modified: time.Unix(0, 0)}
	}
	// The library makes the directory with the usual umask, and sets no bits but
	// those of permission.
	return Root{Mode: below.Mode & 0o777 &^ 0o022, UID: below.UID, GID: below.GID, Modified: time.Unix(0, 0)}
}

// bufferSize is how much of a file is hashed and written at once.
const bufferSize = 256 << 10

// whiteoutPrefix starts the names of whiteouts, opaqueName is that of the entry
// that makes its directory opaque (OCI image specification, layer.md).
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
)

// scan is the reading of one layer.
type scan struct {
	opts    Options
	tree    Tree
	known   bool // the tar is proven: contents are skipped
	buf     []byte
	crc     hash.Hash64
	sum     hash.Hash
	rules   layerrules.Checker
	written int64 // bytes of content so far
	result  Result

	uids, gids map[uint32]struct{}
}

func (e *Extractor) newScan(opts Options) *scan {
	if e.buf == nil {
		e.buf = make([]byte, bufferSize)
	}
	s := &scan{
		opts: opts, buf: e.buf, crc: newCRC(), sum: sha256.New(),
		uids: make(map[uint32]struct{}), gids: make(map[uint32]struct{}),
	}
	s.rules.Bound(opts.Work, opts.Keeps)
	return s
}

// run reads the stream to its end.
func (e *Extractor) run(ctx context.Context, s *scan, stream io.Reader, tarSplit io.Writer) (*Result, error) {
	p := e.startPump(ctx, stream, s.opts.MaxSize)
	defer p.stop()
	if err := s.unpack(p, tarSplit); err != nil {
		if p.failed != nil {
			return nil, p.failed // and not what the tar reader makes of it
		}
		return nil, err
	}
	s.result.DiffID, s.result.DiffSize = p.digest()
	return s.outcome(), nil
}

// outcome is a copy: results are kept for all layers of a release, and a pointer into the scan
// would keep the names of all files with them.
func (s *scan) outcome() *Result {
	out := s.result
	out.UIDs, out.GIDs = sorted(s.uids), sorted(s.gids)
	return &out
}

// unpack reads the tar from p to the end of the stream.
func (s *scan) unpack(p *pump, tarSplit io.Writer) error {
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
		content, err := s.entry(hdr, tr, p)
		if err != nil {
			return refuse(hdr.Name, err)
		}
		if err := split.file(hdr, content.checksum()); err != nil {
			return refuse(hdr.Name, err)
		}
		s.result.Files++
	}
	if err := s.endTable(); err != nil {
		return err
	}
	if err := split.rest(tr.RawBytes(), p, s.buf); err != nil {
		return err
	}
	return s.end()
}

// replay reads the headers of the tar to the end of the stream.
func (s *scan) replay(ctx context.Context, stream io.ReadSeeker) error {
	tr := tar.NewReader(stream)
	for {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if sparse(hdr) || hdr.Size > 0 && hdr.Typeflag != tar.TypeReg {
			return refuse(hdr.Name, ErrType)
		}
		if _, err := s.entry(hdr, tr, nil); err != nil {
			return refuse(hdr.Name, err)
		}
		s.result.Files++
	}
	if err := s.endTable(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, stream)
	if err == nil {
		s.result.DiffSize, err = stream.Seek(0, io.SeekCurrent)
	}
	if err != nil {
		return err
	}
	return s.end()
}

// end follows the last entry.
func (s *scan) end() error {
	if err := refusedByRules(s.rules.End()); err != nil {
		return err
	}
	_, s.result.Lost = s.rules.Kept()
	return s.tree.End()
}

// memberOf is what the rules for layers need to know of hdr.
func memberOf(hdr *tar.Header) layerrules.Member {
	return layerrules.Member{
		Name: hdr.Name, Linkname: hdr.Linkname, Type: hdr.Typeflag, Size: hdr.Size,
		UID: hdr.Uid, GID: hdr.Gid, PAXRecords: hdr.PAXRecords,
	}
}

// sparse reports a file whose content the tar has in another form.
func sparse(hdr *tar.Header) bool {
	m := memberOf(hdr)
	return layerrules.Sparse(&m)
}

// allow holds hdr to the rules for layers.
func (s *scan) allow(hdr *tar.Header) error {
	_, err := s.rules.Add(memberOf(hdr))
	return refusedByRules(err)
}

func refusedByRules(err error) error {
	var refused *layerrules.Error
	if errors.As(err, &refused) {
		return &RefusedError{Name: refused.Name, Err: refused.Err}
	}
	return err
}

// entry unpacks one entry and proves its content.
func (s *scan) entry(hdr *tar.Header, tr *tar.Reader, p *pump) (*Content, error) {
	listed, err := s.compareTable(hdr)
	if err != nil {
		return nil, err
	}
	if err := s.allow(hdr); err != nil {
		return nil, err
	}
	content := s.newContent(hdr, listed, tr, p)
	if err := s.member(hdr, content); err != nil {
		if content.err != nil {
			return nil, content.err // and not what the tree makes of it
		}
		return nil, err
	}
	if !s.known || content.sum != nil {
		if err := content.writeTo(discard); err != nil {
			return nil, err
		}
	}
	return content, content.prove(hdr)
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
func (s *scan) member(hdr *tar.Header, content *Content) error {
	name := path.Clean(hdr.Name)
	base := path.Base(name)
	if !strings.HasPrefix(base, whiteoutPrefix) {
		s.uids[uint32(hdr.Uid)] = struct{}{}
		s.gids[uint32(hdr.Gid)] = struct{}{}
	}
	inside, err := layerrules.Inside(name)
	if err != nil {
		return err
	}
	if inside == "" {
		return s.root(hdr, name)
	}
	if strings.HasPrefix(base, whiteoutPrefix) {
		return s.whiteout(hdr, path.Dir(inside), base)
	}
	return s.tree.Create(hdr, inside, content)
}

// whiteout passes on what the entry base in the directory parent says: that
// something of a layer below is gone.
func (s *scan) whiteout(hdr *tar.Header, parent, base string) error {
	var err error
	name := strings.TrimPrefix(base, whiteoutPrefix)
	switch {
	case base == opaqueName:
		err = s.tree.Opaque(parent)
	case name == "" || name == "." || name == "..":
		return ErrWhiteout
	default:
		err = s.tree.Whiteout(hdr, parent, name)
	}
	if errors.Is(err, unix.ENOTDIR) {
		// Some builders remove a directory and then, again, what was in it.
		return nil
	}
	return err
}

// root takes the attributes of the root directory. As in the library an entry
// "." or "./" changes nothing, and "/" does.
func (s *scan) root(hdr *tar.Header, name string) error {
	if name == "." {
		return nil
	}
	if hdr.Typeflag != tar.TypeDir {
		return ErrType
	}
	if err := s.tree.Root(hdr); err != nil {
		return err
	}
	s.result.Root = &Root{
		Mode: uint32(hdr.Mode) & 0o7777, UID: hdr.Uid, GID: hdr.Gid,
		Modified: sane(hdr.ModTime).UTC(),
	}
	return nil
}
