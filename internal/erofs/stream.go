package erofs

import (
	"errors"
	"fmt"
	"io"
)

const streamBuffer = 1 << 18

// stream writes one stretch of a file from its beginning on.
type stream struct {
	run
}

func newStream(w io.WriterAt, off int64) *stream {
	return &stream{run{w: w, off: off, buf: make([]byte, 0, streamBuffer)}}
}

func (s *stream) pos() int64 { return s.off + int64(len(s.buf)) }

func (s *stream) write(p []byte) error {
	for len(p) > 0 {
		if len(s.buf) == cap(s.buf) {
			if err := s.flush(); err != nil {
				return err
			}
		}
		n := min(len(p), cap(s.buf)-len(s.buf))
		s.buf = append(s.buf, p[:n]...)
		p = p[n:]
	}
	return nil
}

// zeros writes zeros up to an offset.
func (s *stream) zeros(to int64) error {
	var zero [BlockSize]byte
	for s.pos() < to {
		if err := s.write(zero[:min(BlockSize, to-s.pos())]); err != nil {
			return err
		}
	}
	return nil
}

// end fills up to an offset, which ends the stretch.
func (s *stream) end(at int64) error {
	if err := s.zeros(at); err != nil {
		return err
	}
	return s.flush()
}

const (
	windowSize  = 1 << 12
	windowCount = 1024
)

// pageReader reads small pieces by pages: tails from the spool, directories and inodes
// from an image. Those of one directory mostly lie together, but a content that many
// files name may lie anywhere: larger windows gain nothing for the former and cost much
// for the latter.
type pageReader struct {
	r       io.ReaderAt
	windows [windowCount]window
	buf     []byte
}

type window struct {
	number int64 // from one on; zero where nothing is read yet
	data   []byte
}

// read returns n bytes at off. They are good until the next call.
func (t *pageReader) read(off int64, n int) ([]byte, error) {
	t.buf = t.buf[:0]
	for n > 0 {
		data, err := t.window(1 + off/windowSize)
		if err != nil {
			return nil, fmt.Errorf("read at %d: %w", off, err)
		}
		part := data[off%windowSize:]
		part = part[:min(n, len(part))]
		if len(t.buf) == 0 && len(part) == n {
			return part, nil
		}
		t.buf = append(t.buf, part...)
		off, n = off+int64(len(part)), n-len(part)
	}
	return t.buf, nil
}

func (t *pageReader) window(number int64) ([]byte, error) {
	w := &t.windows[number%windowCount]
	if w.number == number {
		return w.data, nil
	}
	if w.data == nil {
		w.data = make([]byte, windowSize)
	}
	w.number = 0
	n, err := t.r.ReadAt(w.data, (number-1)*windowSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	clear(w.data[n:]) // never written
	w.number = number
	return w.data, nil
}
