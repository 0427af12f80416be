package archive

import (
	"context"
	"fmt"
	"io"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/bundle/split"
)

// decodeAhead is how many decoded frames a tarReader holds besides the one that
// is being read and the one that is being decoded, or waits to be read.
const decodeAhead = 0

// tarReader reads a range of the tar and decodes the next frame while the
// present one is read.
type tarReader struct {
	cancel  context.CancelFunc
	cause   func() error
	results chan decoded
	free    chan []byte
	current []byte // what is left of the present frame
	whole   []byte // its buffer
	left    int64
	err     error
}

// decoded is the content of one frame, cut to the range.
type decoded struct {
	buffer, content []byte
	err             error
}

// openTar returns a reader over n bytes of the tar from off. The caller closes it.
func (b *Reader) openTar(ctx context.Context, off, n int64) *tarReader {
	ctx, cancel := context.WithCancel(ctx)
	r := &tarReader{
		cancel:  cancel,
		cause:   func() error { return context.Cause(ctx) },
		results: make(chan decoded, decodeAhead),
		free:    make(chan []byte, decodeAhead+2),
		left:    n,
	}
	go b.decodeRange(ctx, off, n, r)
	return r
}

// decodeRange decodes the frames of the range and sends them to r, until the
// range ends, a frame is damaged or ctx ends.
func (b *Reader) decodeRange(ctx context.Context, off, n int64, r *tarReader) {
	defer close(r.results)
	var compressed []byte
	for i := b.frameAt(off); n > 0; i++ {
		var d decoded
		switch {
		case ctx.Err() != nil:
			d.err = context.Cause(ctx)
		case i >= len(b.frames):
			d.err = fmt.Errorf("%w: the tar ends early", bundle.ErrDamaged)
		default:
			select {
			case d.buffer = <-r.free:
			default:
			}
			compressed, d.buffer, d.err = b.decodeFrame(i, compressed, d.buffer)
		}
		if d.err == nil {
			skip := off - b.frames[i].tar
			d.content = d.buffer[skip:min(int64(len(d.buffer)), skip+n)]
			off += int64(len(d.content))
			n -= int64(len(d.content))
		}
		select {
		case r.results <- d:
		case <-ctx.Done():
			return
		}
		if d.err != nil {
			return
		}
	}
}

// decodeFrame decodes frame i into buffer, which may be nil, and returns the
// buffers for the next call. The content checksum of the frame was right.
func (b *Reader) decodeFrame(i int, compressed, buffer []byte) (c, content []byte, err error) {
	f := b.frames[i]
	if int64(cap(compressed)) < f.Compressed {
		compressed = make([]byte, f.Compressed, f.Compressed+f.Compressed/8)
	}
	compressed = compressed[:f.Compressed]
	if err := seekable.ReadAt(b.r, compressed, f.file); err != nil {
		return compressed, buffer, err
	}
	content, err = b.decodeContent(f, compressed, buffer)
	return compressed, content, err
}

// decodeContent is decodeFrame for a frame whose bytes were read.
func (b *Reader) decodeContent(f span, compressed, buffer []byte) ([]byte, error) {
	if int64(cap(buffer)) < f.Content {
		buffer = make([]byte, 0, f.Content)
	}
	content, err := b.zstd.DecodeAll(compressed, buffer[:0])
	if err != nil {
		return buffer, b.damagedFrame(f, err)
	}
	if int64(len(content)) != f.Content {
		return buffer, b.damagedFrame(f, fmt.Errorf("%d bytes of content, the seek table says %d", len(content), f.Content))
	}
	return content, nil
}

// damagedFrame says where a frame is, also in which part of a bundle in parts: that is
// what somebody can copy again. Of a frame in two parts only Damaged knows.
func (b *Reader) damagedFrame(f span, err error) error {
	err = fmt.Errorf("%w: frame at byte %d: %w", bundle.ErrDamaged, f.file, err)
	if parts, ok := b.r.(*split.File); ok {
		if names := parts.Holding(f.file, f.Compressed); len(names) == 1 {
			err = &split.Error{Part: names[0], Err: err}
		}
	}
	return err
}

// next returns what is left of the present frame, or of the one after it: at least one
// byte, valid until next is called when all of it was taken. io.EOF is the end of the range.
func (r *tarReader) next() ([]byte, error) {
	for len(r.current) == 0 {
		if r.err != nil {
			return nil, r.err
		}
		if r.left == 0 {
			return nil, io.EOF
		}
		if r.whole != nil {
			select {
			case r.free <- r.whole:
			default:
			}
			r.whole = nil
		}
		d, ok := <-r.results
		if !ok {
			r.err = r.cause()
			return nil, r.err
		}
		r.current, r.whole, r.err = d.content, d.buffer, d.err
	}
	return r.current, nil
}

// take takes n bytes of what next returned.
func (r *tarReader) take(n int) {
	r.current = r.current[n:]
	r.left -= int64(n)
}

// Read implements io.Reader.
func (r *tarReader) Read(p []byte) (int, error) {
	piece, err := r.next()
	n := copy(p, piece)
	r.take(n)
	return n, err
}

// Close ends the decoding. Reads after it fail or end early.
func (r *tarReader) Close() error {
	r.cancel()
	return nil
}
