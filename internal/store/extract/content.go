package extract

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"os"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/vbatts/tar-split/archive/tar"
	"github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"
)

// discard as a file descriptor means that content goes nowhere.
const discard = -1

// content is the content of one entry, hashed as it is read.
type content struct {
	u     *unpacker
	tr    *tar.Reader
	pump  *pump
	left  bool        // there may be more to read
	crc   hash.Hash64 // nil where the entry has no content
	sum   hash.Hash   // nil where there is nothing to compare with
	bytes int64
}

func (u *unpacker) newContent(hdr *tar.Header, tr *tar.Reader, p *pump) *content {
	c := &content{u: u, tr: tr, pump: p, left: hdr.Size > 0}
	if c.left {
		u.crc.Reset()
		c.crc = u.crc
	}
	if u.opts.Table != nil && hdr.Typeflag == tar.TypeReg {
		u.sum.Reset()
		c.sum = u.sum
	}
	return c
}

// writeTo reads what is left of the content and writes it to fd.
func (c *content) writeTo(fd int) error {
	for c.left {
		n, err := c.tr.Read(c.u.buf)
		if n > 0 {
			if err := c.take(fd, c.u.buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			c.left = false
		} else if err != nil {
			return &RefusedError{Err: err}
		}
	}
	return nil
}

// take hashes and writes one piece.
func (c *content) take(fd int, b []byte) error {
	c.bytes += int64(len(b))
	c.u.written += int64(len(b))
	// A sparse entry has more content than bytes in the tar. A file table says
	// how much; without one nobody has vouched for it.
	if c.u.opts.Table == nil && c.u.written > c.pump.read {
		return ErrExpanding
	}
	c.crc.Write(b)
	if c.sum != nil {
		c.sum.Write(b)
	}
	for fd != discard && len(b) > 0 {
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

// checksum returns what a tar-split says of the content, nil where there is none.
func (c *content) checksum() []byte {
	if c.crc == nil {
		return nil
	}
	return c.crc.Sum(nil)
}

// compare compares the content with what the file table lists.
func (c *content) compare(listed bundle.TableEntry) error {
	if c.sum == nil {
		return nil
	}
	if [sha256.Size]byte(c.sum.Sum(nil)) != listed.SHA256 || c.bytes != listed.Size {
		return fmt.Errorf("%w: other content", ErrTable)
	}
	return nil
}

// compareTable compares an entry with the next one of the file table and
// returns that.
func (u *unpacker) compareTable(hdr *tar.Header) (bundle.TableEntry, error) {
	if u.opts.Table == nil {
		return bundle.TableEntry{}, nil
	}
	e, err := u.opts.Table.Next()
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
func (u *unpacker) endTable() error {
	if u.opts.Table == nil {
		return nil
	}
	e, err := u.opts.Table.Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("reading file table: %w", err)
	default:
		return &RefusedError{Name: e.Name, Err: fmt.Errorf("%w: it goes on behind the tar's end", ErrTable)}
	}
}

// newCRC returns the checksum that tar-split keeps of contents.
func newCRC() hash.Hash64 { return crc64.New(storage.CRCTable) }
