package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/nodeseal/nodeseal/internal/crc64iso"
	"github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"
)

// rebuilt is the tar of a layer, made from its tar-split and its files. Contents
// that are missing or too short are read as zeros, so that the headers behind
// them can be read all the same.
type rebuilt struct {
	ctx    context.Context //nolint:containedctx // of one call of Layer; io.Reader has no room for it
	root   *root
	split  storage.Unpacker
	read   func(int64)
	damage func(path, format string, args ...any)
	// opened is called with each file that is opened.
	opened func(fd int)
	// sums compares each content with its checksum too: it says which file is
	// damaged, where the digest of all says that one is.
	sums bool

	segment []byte
	file    int // -1 where its content is missing
	entry   *storage.Entry
	left    int64 // of the entry's content
	torn    bool  // it was told that the content is wrong
	crc     uint64
	size    int64
	machine error // an error that is no damage
}

// Read implements io.Reader.
func (r *rebuilt) Read(b []byte) (int, error) {
	for len(r.segment) == 0 && r.left == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := 0
	if len(r.segment) > 0 {
		n = copy(b, r.segment)
		r.segment = r.segment[n:]
	} else {
		var err error
		if n, err = r.content(b); err != nil {
			return 0, err
		}
	}
	r.size += int64(n)
	if r.read != nil {
		r.read(int64(n))
	}
	return n, nil
}

// next takes the next entry of the tar-split.
func (r *rebuilt) next() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	entry, err := r.split.Next()
	if err != nil {
		return err // io.EOF is the end
	}
	if entry.Type == storage.SegmentType {
		r.segment = entry.Payload
		return nil
	}
	if entry.Size <= 0 {
		return nil
	}
	r.entry, r.left, r.crc, r.torn = entry, entry.Size, 0, false
	r.file, err = r.root.openFile(entry.GetName())
	switch {
	case err == nil:
		r.opened(r.file)
	case machineFault(err):
		r.machine = err
		return err
	case errors.Is(err, fs.ErrNotExist):
		r.torn = true // its header tells
	default:
		r.torn = true
		r.damage(clean(entry.GetName()), "its content cannot be read: %w", err)
	}
	return nil
}

// content reads from the file of the entry, and compares the whole with its
// checksum at the end.
func (r *rebuilt) content(b []byte) (int, error) {
	if int64(len(b)) > r.left {
		b = b[:r.left]
	}
	n := 0
	if r.file >= 0 {
		var err error
		n, err = read(r.file, b)
		switch {
		case err != nil:
			// A disk that cannot read a file is damage: that file is told.
			r.fail(fmt.Errorf("reading: %w", err))
		case n == 0:
			r.fail(fmt.Errorf("it is %d bytes too short", r.left))
		}
	}
	if n <= 0 {
		clear(b)
		n = len(b)
	} else if r.sums {
		r.crc = crc64iso.Update(r.crc, b[:n])
	}
	if r.left -= int64(n); r.left == 0 {
		r.end()
	}
	return n, nil
}

// read reads from a file, whatever signals come. At its end it returns 0.
func read(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

func (r *rebuilt) fail(err error) {
	if !r.torn {
		r.torn = true
		r.damage(clean(r.entry.GetName()), "its content is damaged: %w", err)
	}
	r.close()
}

// end compares a content that was read whole.
func (r *rebuilt) end() {
	if r.file < 0 {
		return
	}
	r.close()
	if !r.sums {
		return
	}
	var sum [8]byte
	for i := range sum {
		sum[i] = byte(r.crc >> (56 - 8*i))
	}
	if string(sum[:]) != string(r.entry.Payload) && !r.torn {
		r.damage(clean(r.entry.GetName()), "its content is damaged: it has another checksum")
	}
}

// close closes the file that is open, if one is.
func (r *rebuilt) close() {
	if r.file >= 0 {
		_ = unix.Close(r.file) // it was only read
		r.file = -1
	}
}

// machineFault reports errors that say nothing about the store.
func machineFault(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) ||
		errors.Is(err, unix.ENOSYS) || errors.Is(err, fs.ErrPermission)
}
