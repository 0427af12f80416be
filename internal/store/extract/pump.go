package extract

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
)

const (
	// chunkSize is how much the pump reads at once.
	chunkSize = 1 << 20
	// chunksAhead is how many chunks wait for the tar reader.
	chunksAhead = 2
)

// pump reads and hashes a stream in a goroutine of its own, ahead of its
// reader. It is an io.Reader for one goroutine.
type pump struct {
	chunks *[][]byte // all that exist; the goroutine's
	cancel context.CancelFunc
	full   chan []byte // what was read and hashed
	empty  chan []byte // to be used again
	done   sync.WaitGroup

	// Of the reader.
	chunk, rest []byte
	read        int64
	failed      error // that Read returned, other than io.EOF

	// Of the goroutine, and of everyone once full is closed.
	hash hash.Hash
	size int64
	err  error
}

// startPump starts to read src. stop must be called, after which the chunks are
// the Extractor's again.
func (e *Extractor) startPump(ctx context.Context, src io.Reader, maxSize int64) *pump {
	ctx, cancel := context.WithCancel(ctx)
	p := &pump{
		chunks: &e.chunks,
		cancel: cancel,
		full:   make(chan []byte, chunksAhead),
		empty:  make(chan []byte, chunksAhead+2),
		hash:   sha256.New(),
	}
	for i := range chunksAhead + 2 {
		if i < len(e.chunks) {
			p.empty <- e.chunks[i]
		} else {
			p.empty <- nil // to be made when it is needed
		}
	}
	p.done.Go(func() { p.run(ctx, src, maxSize) })
	return p
}

// run reads until the end, an error, or stop.
func (p *pump) run(ctx context.Context, src io.Reader, maxSize int64) {
	defer close(p.full)
	for {
		var chunk []byte
		select {
		case chunk = <-p.empty:
		case <-ctx.Done():
			p.err = ctx.Err()
			return
		}
		if chunk == nil {
			chunk = make([]byte, chunkSize)
			*p.chunks = append(*p.chunks, chunk)
		}
		n, err := fill(src, chunk[:chunkSize])
		p.size += int64(n)
		if maxSize > 0 && p.size > maxSize {
			p.err = &RefusedError{Err: ErrTooLong}
			return
		}
		p.hash.Write(chunk[:n])
		if n > 0 {
			select {
			case p.full <- chunk[:n]:
			case <-ctx.Done():
				p.err = ctx.Err()
				return
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			p.err = err
			return
		}
	}
}

// fill reads until b is full or src has an error. Unlike io.ReadFull it leaves
// the error as it is: io.ErrUnexpectedEOF is of a source that is torn.
func fill(src io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var nn int
		nn, err = src.Read(b[n:])
		n += nn
	}
	return n, err //nolint:wrapcheck // the source's own
}

// Read implements io.Reader.
func (p *pump) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if p.chunk != nil {
			p.empty <- p.chunk
			p.chunk = nil
		}
		chunk, ok := <-p.full
		if !ok {
			if p.err != nil {
				p.failed = p.err
				return 0, p.err
			}
			return 0, io.EOF
		}
		p.chunk, p.rest = chunk, chunk
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	p.read += int64(n)
	return n, nil
}

// stop ends the goroutine and waits for it.
func (p *pump) stop() {
	p.cancel()
	p.done.Wait()
}

// digest returns the digest and the length of the stream, after its end.
func (p *pump) digest() (digest.Digest, int64) {
	return digest.NewDigest(digest.SHA256, p.hash), p.size
}
