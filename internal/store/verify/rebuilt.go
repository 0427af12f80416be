package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

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

	segment []byte
	file    *os.File // nil where its content is missing
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
		return err //nolint:wrapcheck // the caller's own
	}
	entry, err := r.split.Next()
	if err != nil {
		return err //nolint:wrapcheck // io.EOF is the end
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
	if r.file != nil {
		var err error
		n, err = r.file.Read(b)
		if err != nil && !errors.Is(err, io.EOF) {
			// A disk that cannot read a file is damage: that file is told.
			r.fail(fmt.Errorf("reading: %w", err))
		}
		if errors.Is(err, io.EOF) {
			r.fail(fmt.Errorf("it is %d bytes too short", r.left))
		}
	}
	if n <= 0 {
		clear(b)
		n = len(b)
	} else {
		r.crc = crc64iso.Update(r.crc, b[:n])
	}
	if r.left -= int64(n); r.left == 0 {
		r.end()
	}
	return n, nil
}

func (r *rebuilt) fail(err error) {
	if !r.torn {
		r.torn = true
		r.damage(clean(r.entry.GetName()), "its content is damaged: %w", err)
	}
	r.file.Close()
	r.file = nil
}

// end compares a content that was read whole.
func (r *rebuilt) end() {
	if r.file == nil {
		return
	}
	r.file.Close()
	r.file = nil
	var sum [8]byte
	for i := range sum {
		sum[i] = byte(r.crc >> (56 - 8*i))
	}
	if string(sum[:]) != string(r.entry.Payload) && !r.torn {
		r.damage(clean(r.entry.GetName()), "its content is damaged: it has another checksum")
	}
}

// machineFault reports errors that say nothing about the store.
func machineFault(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) ||
		errors.Is(err, unix.ENOSYS) || errors.Is(err, fs.ErrPermission)
}
