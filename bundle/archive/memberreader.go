package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/nodeseal/nodeseal/bundle"
)

// memberReader ends a member's content at its size and checks the padding.
type memberReader struct {
	b    *Reader
	m    member
	r    *tarReader
	left int64

	giveBack func() // its memory
}

// Read implements io.Reader.
func (r *memberReader) Read(p []byte) (int, error) {
	piece, err := r.next()
	n := copy(p, piece)
	r.take(n)
	return n, err
}

// WriteTo implements io.WriterTo: w gets the decoded frames as they are. An error of w is
// returned as it is.
func (r *memberReader) WriteTo(w io.Writer) (written int64, err error) {
	for {
		piece, err := r.next()
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := w.Write(piece)
		r.take(n)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
}

// next returns the next bytes of the content, at least one, valid until all of them
// are taken. io.EOF is its end, behind which nothing but padding was.
func (r *memberReader) next() ([]byte, error) {
	if r.left == 0 {
		return nil, r.end()
	}
	piece, err := r.r.next()
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: it ends early", bundle.ErrDamaged)
	}
	if err != nil {
		return nil, r.b.damage(r.m, err)
	}
	return piece[:min(int64(len(piece)), r.left)], nil
}

func (r *memberReader) take(n int) {
	r.r.take(n)
	r.left -= int64(n)
}

// end reads the padding and returns io.EOF.
func (r *memberReader) end() error {
	var pad [tarBlock]byte
	zeros := pad[:padding(r.m.size)]
	if _, err := io.ReadFull(r.r, zeros); err != nil {
		return r.b.damage(r.m, err)
	}
	if !bytes.Equal(zeros, make([]byte, len(zeros))) {
		return r.b.damage(r.m, fmt.Errorf("%w: bytes behind its end", bundle.ErrDamaged))
	}
	r.m.size = 0 // the padding was read
	return io.EOF
}

// Close implements io.Closer.
func (r *memberReader) Close() error {
	defer r.giveBack()
	return r.r.Close()
}
