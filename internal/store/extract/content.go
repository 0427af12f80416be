package extract

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/internal/crc64iso"
	"github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sys/unix"
)

// discard as a file descriptor means that content goes nowhere.
const discard = -1

// Content is the content of one entry, hashed as it is read. It is an io.Reader
// until the Tree's Create returns.
type Content struct {
	s      *scan
	tr     *tar.Reader
	pump   *pump
	listed filetable.Entry // zero where there is no table
	left   bool            // there may be more to read
	crc    hash.Hash64     // nil where the entry has no content, or nobody wants it
	sum    hash.Hash       // nil where there is nothing to compare with
	bytes  int64
	lent   bool  // the tar has it as it is: its pieces need not be copied
	err    error // that Read returned, other than io.EOF
}

func (s *scan) newContent(hdr *tar.Header, listed filetable.Entry, tr *tar.Reader, p *pump) *Content {
	c := &Content{s: s, listed: listed, tr: tr, pump: p, left: hdr.Size > 0, lent: p != nil && !sparse(hdr)}
	if c.left && !s.known {
		s.crc.Reset()
		c.crc = s.crc
	}
	if hdr.Typeflag == tar.TypeReg && s.summed(listed) {
		s.sum.Reset()
		c.sum = s.sum
	}
	return c
}

// summed reports whether the SHA-256 of a regular file's content is wanted.
func (s *scan) summed(listed filetable.Entry) bool {
	return s.opts.Listing != nil || s.opts.Table != nil && (s.opts.Prove == nil || s.opts.Prove(listed))
}

// Read implements io.Reader. Errors are about the tar.
func (c *Content) Read(b []byte) (int, error) {
	if !c.left {
		return 0, io.EOF
	}
	n, err := c.tr.Read(b)
	return n, c.account(b[:n], err)
}

// next returns the next piece, valid until the next call.
func (c *Content) next() ([]byte, error) {
	if !c.lent {
		n, err := c.Read(c.s.buf)
		return c.s.buf[:n], err
	}
	if !c.left {
		return nil, io.EOF
	}
	// The tar reader asks the pump once, for at most this much, and looks at no byte.
	c.pump.lend, c.pump.lent = true, nil
	n, err := c.tr.Read(c.s.buf)
	c.pump.lend = false
	if n != len(c.pump.lent) {
		return nil, fmt.Errorf("the tar reader has %d bytes, not the %d that it was lent", n, len(c.pump.lent))
	}
	return c.pump.lent, c.account(c.pump.lent, err)
}

// account hashes a piece that the tar reader returned with err.
func (c *Content) account(piece []byte, err error) error {
	if len(piece) > 0 {
		if c.err = c.take(piece); c.err != nil {
			return c.err
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		c.left = false
		return io.EOF
	case err != nil:
		c.err = &RefusedError{Err: err}
	}
	return c.err
}

// take hashes one piece.
func (c *Content) take(b []byte) error {
	c.bytes += int64(len(b))
	c.s.written += int64(len(b))
	// A sparse entry has more content than bytes in the tar. A file table says
	// how much; without one nobody has vouched for it. A Replay has none.
	if c.s.opts.Table == nil && !c.s.known && c.s.written > c.pump.read {
		return ErrExpanding
	}
	if c.crc != nil {
		c.crc.Write(b)
	}
	if c.sum != nil {
		c.sum.Write(b)
	}
	return nil
}

// writeTo reads what is left of the content and writes it to fd.
func (c *Content) writeTo(fd int) error {
	for c.left {
		piece, err := c.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if fd == discard {
			continue
		}
		if err := writeAll(fd, piece); err != nil {
			return err
		}
	}
	return nil
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("write", err)
		}
		b = b[n:]
	}
	return nil
}

// Listed is the SHA-256 that the file table lists for a regular file. Whether it
// is the content's shows after the last byte, where Options.Prove wants that: where it
// is not, the Scan fails.
func (c *Content) Listed() [sha256.Size]byte { return c.listed.SHA256 }

// checksum returns what a tar-split says of the content, nil where there is none.
func (c *Content) checksum() []byte {
	if c.crc == nil {
		return nil
	}
	return c.crc.Sum(nil)
}

// prove compares the content with what the file table lists, and lists it.
func (c *Content) prove(hdr *tar.Header) error {
	e := filetable.Entry{Name: hdr.Name, Type: hdr.Typeflag}
	if c.sum != nil {
		e.Size = c.bytes
		c.sum.Sum(e.SHA256[:0])
	}
	if c.s.opts.Table != nil && c.sum != nil {
		if e.Size != c.listed.Size {
			return fmt.Errorf("%w: %d bytes of content, not %d", ErrTable, c.listed.Size, e.Size)
		}
		// Also of two contents that it claims one hash for, one is not what it says.
		if e.SHA256 != c.listed.SHA256 {
			return fmt.Errorf("%w: it claims the hash of another content, sha256:%x, for sha256:%x", ErrTable, c.listed.SHA256, e.SHA256)
		}
	}
	if c.s.opts.Listing != nil {
		if err := c.s.opts.Listing.Add(e); err != nil {
			return fmt.Errorf("writing file table: %w", err)
		}
	}
	return nil
}

// compareTable compares an entry with the next one of the file table and
// returns that.
func (s *scan) compareTable(hdr *tar.Header) (filetable.Entry, error) {
	if s.opts.Table == nil {
		return filetable.Entry{}, nil
	}
	e, err := s.opts.Table.Next()
	if errors.Is(err, io.EOF) {
		return e, fmt.Errorf("%w: it ends before this entry", ErrTable)
	}
	if err != nil {
		return e, fmt.Errorf("reading file table: %w", err)
	}
	if e.Name != hdr.Name || e.Type != hdr.Typeflag || (e.Type == tar.TypeReg && e.Size != hdr.Size) {
		return e, fmt.Errorf("%w: %q of type %q and size %d", ErrTable, e.Name, e.Type, e.Size)
	}
	return e, nil
}

// endTable wants the file table to end where the tar does.
func (s *scan) endTable() error {
	if s.opts.Table == nil {
		return nil
	}
	e, err := s.opts.Table.Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("reading file table: %w", err)
	default:
		return &RefusedError{Name: e.Name, Err: fmt.Errorf("%w: it goes on behind the tar's end", ErrTable)}
	}
}

// newCRC returns the checksum that tar-split keeps of contents (storage.CRCTable).
func newCRC() hash.Hash64 { return crc64iso.New() }
