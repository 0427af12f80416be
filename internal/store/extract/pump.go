package extract

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

const (
	// chunkSize is how much the pump hashes and hands over at once.
	chunkSize = 1 << 20
	// chunksAhead is how many chunks are with the tar reader, or wait for it, while
	// the next one is hashed.
	chunksAhead = 2
	// readSize is how much is read at once of a stream that cannot write itself.
	readSize = 4 << 20
)

// pump hashes a stream in a goroutine of its own, ahead of its reader. It is an io.Reader
// for one goroutine. A stream that is an io.WriterTo is not copied on its way.
type pump struct {
	cancel context.CancelFunc
	full   chan []byte   // what was hashed
	used   chan struct{} // a token for each chunk that the reader is done with
	done   sync.WaitGroup

	// Of the reader.
	chunk  []byte // what is left of the present one
	begun  bool   // there is a present one
	read   int64
	lend   bool   // Read does not copy: what it would have is in lent
	lent   []byte // valid until the next Read
	failed error  // that Read returned, other than io.EOF

	// Of the goroutine, and of everyone once full is closed.
	ctx     context.Context //nolint:containedctx // of the goroutine that the pump is
	maxSize int64
	handed  int // chunks that are not yet used
	hash    hash.Hash
	size    int64
	err     error
}

// startPump starts to read src. stop must be called, after which the Extractor's buffer
// is free again.
func (e *Extractor) startPump(ctx context.Context, src io.Reader, maxSize int64) *pump {
	ctx, cancel := context.WithCancel(ctx)
	p := &pump{
		ctx: ctx, cancel: cancel, maxSize: maxSize,
		full: make(chan []byte, chunksAhead),
		used: make(chan struct{}, chunksAhead),
		hash: sha256.New(),
	}
	p.done.Go(func() {
		defer close(p.full)
		if whole, ok := src.(io.WriterTo); ok {
			_, p.err = whole.WriteTo(p)
		} else {
			p.err = e.copyTo(p, src)
		}
	})
	return p
}

// copyTo copies src, in large pieces, to the pump.
func (e *Extractor) copyTo(p *pump, src io.Reader) error {
	if e.readBuf == nil {
		e.readBuf = make([]byte, readSize)
	}
	for {
		n, err := fill(src, e.readBuf)
		if _, err := p.Write(e.readBuf[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Write hashes b and hands it to the reader. It returns when the reader is done with it.
func (p *pump) Write(b []byte) (int, error) {
	for chunk := range slices.Chunk(b, chunkSize) {
		p.size += int64(len(chunk))
		if p.maxSize > 0 && p.size > p.maxSize {
			return 0, &RefusedError{Err: ErrTooLong}
		}
		p.hash.Write(chunk)
		if err := p.await(chunksAhead - 1); err != nil {
			return 0, err
		}
		p.full <- chunk // has room for all that are not yet used
		p.handed++
	}
	return len(b), p.await(0)
}

// await waits until at most n chunks are not yet used. The end of the work counts at once, also
// where there is nothing to wait for.
func (p *pump) await(n int) error {
	for p.ctx.Err() == nil && p.handed > n {
		select {
		case <-p.used:
			p.handed--
		case <-p.ctx.Done():
		}
	}
	return p.ctx.Err()
}

// fill reads until b is full or src has an error. Unlike io.ReadFull it leaves
// the error as it is: io.ErrUnexpectedEOF is of a source that is torn.
func fill(src io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var nn int
		nn, err = src.Read(b[n:])
		n += nn
	}
	return n, err
}

// Read implements io.Reader.
func (p *pump) Read(b []byte) (int, error) {
	if len(p.chunk) == 0 {
		if p.begun {
			p.used <- struct{}{} // has room for all chunks that there are
			p.begun = false
		}
		chunk, ok := <-p.full
		if !ok {
			if p.err != nil {
				p.failed = p.err
				return 0, p.err
			}
			return 0, io.EOF
		}
		p.chunk, p.begun = chunk, true
	}
	n := min(len(b), len(p.chunk))
	if p.lend {
		p.lent = p.chunk[:n]
	} else {
		copy(b, p.chunk)
	}
	p.chunk = p.chunk[n:]
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
