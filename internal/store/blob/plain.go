// Package blob reads layer blobs: the plain tar in them, whatever the bundle holds,
// and what proves it.
package blob

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
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

// maxWindow bounds the memory that one zstd layer may ask for.
const maxWindow = 64 << 20

// Plain is the plain tar in a layer blob. Where the blob is the registry's it
// proves its digest too, which no plain tar can tell.
type Plain struct {
	raw    *rawReader
	in     *bufio.Reader
	out    io.Reader
	closer func()
	want   digest.Digest // of the blob; "" where it is the plain tar
}

// rawReader hashes a blob and keeps its error apart from a decoder's.
type rawReader struct {
	r    io.Reader
	hash hash.Hash
	err  error
}

// Read implements io.Reader.
func (r *rawReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if r.hash != nil {
		r.hash.Write(b[:n])
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err //nolint:wrapcheck // an io.Reader passes errors on
}

// Open looks at the first bytes of a blob of l and decompresses it where it is
// compressed. Close must be called; it does not close the blob.
func Open(blob io.Reader, l *store.Layer) (*Plain, error) {
	p := &Plain{raw: &rawReader{r: blob}, closer: func() {}}
	if l.Blob == l.DiffID {
		p.out = p.raw
		return p, nil
	}
	p.raw.hash, p.want = sha256.New(), l.Blob
	p.in = bufio.NewReaderSize(p.raw, 256<<10)
	magic, err := p.in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading its blob: %w", err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		zr, err := gzip.NewReader(p.in)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCompression, err)
		}
		p.out = zr
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		zr, err := zstd.NewReader(p.in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCompression, err)
		}
		p.out, p.closer = zr, zr.Close
	default:
		p.out = p.in
	}
	return p, nil
}

// Read implements io.Reader.
func (p *Plain) Read(b []byte) (int, error) {
	n, err := p.out.Read(b)
	if err == nil || errors.Is(err, io.EOF) || p.raw.err != nil {
		return n, err //nolint:wrapcheck // an io.Reader passes errors on
	}
	return n, fmt.Errorf("%w: %w", ErrCompression, err)
}

// Finish reads what is left of the blob, and proves its digest. It is called
// after the end of the plain tar.
func (p *Plain) Finish() error {
	if p.want == "" {
		return nil
	}
	if _, err := io.Copy(io.Discard, p.in); err != nil {
		return fmt.Errorf("reading its blob: %w", err)
	}
	if got := digest.NewDigest(digest.SHA256, p.raw.hash); got != p.want {
		return fmt.Errorf("%w: its blob has the digest %s, want %s", ErrClaim, got, p.want)
	}
	return nil
}

// Close gives the memory back.
func (p *Plain) Close() { p.closer() }
