package erofs

import (
	"errors"
	"fmt"
	"io"
)

const (
	imageBuffer = 1 << 20
	spoolBuffer = 1 << 17
)

// Writer writes contents to their places. Contents that follow one another in the
// image are gathered into large writes, so write them in about the order of Reserve.
// A Writer is for one goroutine; a Builder may have many. It holds 1.1 MiB.
type Writer struct {
	b     *Builder
	image run
	spool run
	probe [1]byte
}

// NewWriter returns a Writer. Flush it after its last content, before Finish.
func (b *Builder) NewWriter() *Writer {
	return &Writer{
		b:     b,
		image: run{w: b.image, unit: BlockSize, buf: make([]byte, 0, imageBuffer)},
		spool: run{w: b.spool, unit: tailUnit, buf: make([]byte, 0, spoolBuffer)},
	}
}

// Copy writes a content: all of r, which must be as long as was reserved, else the
// error is ErrContent. Each content is written once, by one Writer; what an error
// leaves behind is undefined.
func (w *Writer) Copy(c Content, r io.Reader) error {
	rec, err := w.b.content(c)
	if err != nil {
		return err
	}
	if err := w.image.copy(int64(rec.block)<<blockBits, rec.head(), r); err != nil {
		return fmt.Errorf("content of %d bytes: %w", rec.size, err)
	}
	return w.copyTail(rec, r)
}

// CopyRest is Copy for the bytes of a content from skip on, a multiple of BlockSize or
// its size: the bytes before that are put there as Extent says, without their padding.
func (w *Writer) CopyRest(c Content, skip int64, r io.Reader) error {
	rec, err := w.b.content(c)
	if err != nil {
		return err
	}
	if rest := rec.head() - skip; rest > 0 {
		if err := w.image.copy(int64(rec.block)<<blockBits+skip, rest, r); err != nil {
			return fmt.Errorf("content of %d bytes: %w", rec.size, err)
		}
	}
	return w.copyTail(rec, r)
}

// CopyTail is Copy for the bytes of a content behind those of Extent.
func (w *Writer) CopyTail(c Content, r io.Reader) error {
	rec, err := w.b.content(c)
	if err != nil {
		return err
	}
	return w.copyTail(rec, r)
}

func (w *Writer) copyTail(rec content, r io.Reader) error {
	if n := rec.tailSize(); n > 0 {
		if err := w.spool.copy(int64(rec.tail)*tailUnit, int64(n), r); err != nil {
			return fmt.Errorf("tail of %d bytes: %w", n, err)
		}
	}
	switch _, err := io.ReadFull(r, w.probe[:]); {
	case err == nil:
		return fmt.Errorf("%w: more than the %d bytes reserved", ErrContent, rec.size)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return fmt.Errorf("content of %d bytes: %w", rec.size, err)
	}
}

// Flush writes what is still held.
func (w *Writer) Flush() error {
	return errors.Join(w.image.flush(), w.spool.flush())
}

// run is bytes for one stretch of a file in which contents start at multiples of unit.
type run struct {
	w    io.WriterAt
	unit int64
	off  int64 // of buf[0]
	buf  []byte
}

// copy takes n bytes of r for the place at off.
func (r *run) copy(off, n int64, src io.Reader) error {
	if n == 0 {
		return nil
	}
	if err := r.seek(off); err != nil {
		return err
	}
	for n > 0 {
		if len(r.buf) == cap(r.buf) {
			if err := r.flush(); err != nil {
				return err
			}
		}
		free := r.buf[len(r.buf):cap(r.buf)]
		read, err := io.ReadFull(src, free[:min(int64(len(free)), n)])
		r.buf = r.buf[:len(r.buf)+read]
		n -= int64(read)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: %d bytes are missing", ErrContent, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// seek goes to off: on in the buffer where off is the next multiple of unit, with
// zeros between, else after a flush.
func (r *run) seek(off int64) error {
	end := r.off + int64(len(r.buf))
	if next := int(off - r.off); len(r.buf) > 0 && off == roundUp(end, r.unit) && next <= cap(r.buf) {
		clear(r.buf[len(r.buf):next])
		r.buf = r.buf[:next]
		return nil
	}
	if err := r.flush(); err != nil {
		return err
	}
	r.off = off
	return nil
}

func (r *run) flush() error {
	if len(r.buf) == 0 {
		return nil
	}
	if _, err := r.w.WriteAt(r.buf, r.off); err != nil {
		return fmt.Errorf("write at %d: %w", r.off, err)
	}
	r.off += int64(len(r.buf))
	r.buf = r.buf[:0]
	return nil
}
