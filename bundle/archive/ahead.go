package archive

import (
	"errors"
	"io"
)

// aheadBuffer is the length of the buffers of copyAhead, in bytes: what is read
// into one is still in the processor's cache when it is written.
const aheadBuffer = 256 << 10

// copyAhead copies r, of about size bytes, to its end, and reads on while it writes
// where that is worth it. It reads no more once it returned.
func copyAhead(w io.Writer, r io.Reader, size int64) (n int64, err error) {
	if size <= aheadBuffer {
		return io.CopyBuffer(onlyWriter{w}, onlyReader{r}, make([]byte, size+1))
	}
	free, filled := make(chan []byte, 3), make(chan piece, 3)
	for range cap(free) {
		free <- make([]byte, aheadBuffer)
	}
	go fill(r, free, filled)
	for p := range filled {
		if err != nil {
			continue // until the reader sees that no buffer comes
		}
		var m int
		m, err = w.Write(p.data)
		n += int64(m)
		if err == nil {
			err = p.err
		}
		if err != nil {
			close(free)
			continue
		}
		free <- p.data[:aheadBuffer]
	}
	return n, err
}

// piece is what was read into a buffer, and why nothing follows.
type piece struct {
	data []byte
	err  error
}

// fill reads r into free buffers until it ends, fails or no buffer comes.
func fill(r io.Reader, free <-chan []byte, filled chan<- piece) {
	defer close(filled)
	for buf := range free {
		var p piece
		n := 0
		for n < len(buf) && p.err == nil {
			var m int
			m, p.err = r.Read(buf[n:])
			n += m
		}
		p.data = buf[:n]
		end := p.err != nil
		if errors.Is(p.err, io.EOF) {
			p.err = nil
		}
		filled <- p
		if end {
			return
		}
	}
}
