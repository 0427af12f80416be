// Package blob reads layer blobs: the plain tar in them, whatever the bundle holds,
// and what proves it.
package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/nodeseal/nodeseal/bundle/compression"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/opencontainers/go-digest"
)

// The causes of errors about blobs that are damaged or lie.
var (
	// ErrCompression is of bytes that do not decompress.
	ErrCompression = errors.New("its compression is damaged")
	// ErrClaim is of a blob that has not the digest or the length it should have.
	ErrClaim = errors.New("it is not what was claimed")
)

// Plain is the plain tar in a layer blob. Where the blob is the registry's it
// proves its digest too, which no plain tar can tell.
type Plain struct {
	raw  *rawReader
	in   *compression.Reader // nil where the blob is the plain tar
	out  io.Reader
	want digest.Digest // of the blob; "" where it is the plain tar
	size int64         // of the blob where it is the plain tar, 0 where nobody says
}

// rawReader counts and hashes a blob and keeps its error apart from a decoder's.
type rawReader struct {
	r    io.Reader
	read func(n int64)
	n    int64
	hash hash.Hash // nil where another one proves the bytes
	err  error
}

// Read implements io.Reader.
func (r *rawReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.count(b[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

func (r *rawReader) count(b []byte) {
	r.n += int64(len(b))
	if r.read != nil {
		r.read(int64(len(b)))
	}
	if r.hash != nil {
		r.hash.Write(b)
	}
}

// Open looks at the first bytes of a blob of l and decompresses it where it is
// compressed. read is called with the bytes of the blob as they are read, it may be
// nil. Close must be called; it does not close the blob.
func Open(ctx context.Context, blob io.Reader, l *store.Layer, read func(n int64)) (*Plain, error) {
	p := &Plain{raw: &rawReader{r: blob, read: read}}
	if l.Blob == l.DiffID {
		p.out, p.size = p.raw, l.BlobSize
		return p, nil
	}
	p.raw.hash, p.want = sha256.New(), l.Blob
	in, err := compression.NewReader(ctx, p.raw)
	switch {
	case p.raw.err != nil:
		return nil, fmt.Errorf("reading its blob: %w", p.raw.err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCompression, err)
	}
	p.in, p.out = in, in
	return p, nil
}

// Tar returns the reader of the plain tar: an io.WriterTo, which passes on what the blob's
// reader has without copying it, where that is one and the blob is the plain tar.
func (p *Plain) Tar() io.Reader {
	if from, ok := p.raw.r.(io.WriterTo); ok && p.in == nil {
		return &rawWriter{rawReader: p.raw, from: from}
	}
	return p
}

// rawWriter is a rawReader of a blob that can write itself.
type rawWriter struct {
	*rawReader
	from io.WriterTo
}

// WriteTo implements io.WriterTo.
func (r *rawWriter) WriteTo(w io.Writer) (int64, error) {
	return r.from.WriteTo(writer(func(b []byte) (int, error) {
		n, err := w.Write(b)
		r.count(b[:n])
		return n, err
	}))
}

// writer is an io.Writer.
type writer func(b []byte) (int, error)

// Write implements io.Writer.
func (w writer) Write(b []byte) (int, error) { return w(b) }

// Read implements io.Reader.
func (p *Plain) Read(b []byte) (int, error) {
	n, err := p.out.Read(b)
	if err == nil || errors.Is(err, io.EOF) || p.raw.err != nil {
		return n, err
	}
	return n, fmt.Errorf("%w: %w", ErrCompression, err)
}

// Finish reads what is left of the blob, and proves its digest; of a plain tar, which
// proves itself, the length that the inventory claims. It is called after the end of
// the plain tar.
func (p *Plain) Finish() error {
	if p.want == "" {
		if p.size != 0 && p.raw.n != p.size {
			return fmt.Errorf("%w: its blob has %d bytes, the inventory says %d", ErrClaim, p.raw.n, p.size)
		}
		return nil
	}
	if _, err := io.Copy(io.Discard, p.raw); err != nil {
		return fmt.Errorf("reading its blob: %w", err)
	}
	if got := digest.NewDigest(digest.SHA256, p.raw.hash); got != p.want {
		return fmt.Errorf("%w: its blob has the digest %s, want %s", ErrClaim, got, p.want)
	}
	return nil
}

// Close gives the memory back.
func (p *Plain) Close() {
	if p.in != nil {
		_ = p.in.Close() // it only gives memory back
	}
}
