// Package compression reads layers whatever they are compressed with.
package compression

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/nodeseal/nodeseal/internal/budget"
)

// Kind is how a layer is compressed.
type Kind string

// The kinds that containers/image reads, too.
const (
	None  Kind = ""
	Gzip  Kind = "gzip"
	Zstd  Kind = "zstd"
	Bzip2 Kind = "bzip2"
	Xz    Kind = "xz"
)

// The memory of decoders, in bytes. zstd and xz say in their headers how much of what
// was decoded they look back at: their window.
const (
	// MaxWindow is the largest window that is read (zstd --long=27, zstd -22 --ultra).
	MaxWindow = 128 << 20
	// Budget is what the windows of all Readers of the process have together.
	Budget = 128 << 20
)

// ErrWindow is wrapped where a layer needs more memory to decode than MaxWindow, or
// says so only after its beginning.
var ErrWindow = errors.New("decoding it takes too much memory")

// windows is what Readers share. Memory is the process's, so this is, too.
var windows = budget.New(Budget) //nolint:gochecknoglobals // as said

// bufferSize is how much is read ahead, to see how it is compressed and how much memory
// that takes.
const bufferSize = 256 << 10

// Reader gives the plain bytes of a layer. Close must be called.
type Reader struct {
	// Kind is how the layer is compressed.
	Kind Kind

	out      io.Reader
	close    func()
	window   uint64
	giveBack func() // of the window
}

// Detect returns how a layer is compressed that starts with head, by its first bytes,
// as containers/image does: media types lie. Six bytes are enough.
func Detect(head []byte) Kind {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return Gzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}),
		len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}): // a skippable frame
		return Zstd
	case bytes.HasPrefix(head, []byte("BZh")):
		return Bzip2
	case bytes.HasPrefix(head, []byte(xzMagic)):
		return Xz
	}
	return None
}

// NewReader returns a Reader of the layer r. It reads ahead. It waits until Budget has room for
// the window of the Reader, or until ctx ends. To exclude deadlocks, a goroutine must not hold
// another Reader while it calls NewReader. The errors of r are passed on.
//
// The frames of zstd that begin in the first 256 KiB decide how large the window is, for
// all frames: at least 8 MiB, and at least 32 MiB if there are several of them. Of xz it is
// the first block, and at least 32 MiB. Where a later one asks for more, Read fails with
// an error that wraps ErrWindow.
func NewReader(ctx context.Context, r io.Reader) (*Reader, error) {
	in := bufio.NewReaderSize(r, bufferSize)
	head, err := in.Peek(magicSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	out := &Reader{Kind: Detect(head), out: in, close: func() {}, giveBack: func() {}}
	switch out.Kind {
	case Gzip:
		out.out, err = gzip.NewReader(in)
	case Zstd:
		err = out.zstd(ctx, in)
	case Bzip2:
		out.out, err = bzip2.NewReader(in), out.take(ctx, bzip2Memory)
	case Xz:
		err = out.xz(ctx, in)
	case None:
		err = nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", out.Kind, err), out.Close())
	}
	return out, nil
}

const (
	// magicSize is what Detect needs.
	magicSize = 6
	// bzip2Memory is what that takes for its largest blocks.
	bzip2Memory = 4 << 20
)

// zstd starts a decoder.
func (r *Reader) zstd(ctx context.Context, in *bufio.Reader) error {
	window, err := zstdWindow(in)
	if err != nil {
		return err
	}
	if err := r.take(ctx, window); err != nil {
		return err
	}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return err
	}
	r.out, r.close = z, z.Close
	return nil
}

// xz starts a decoder.
func (r *Reader) xz(ctx context.Context, in *bufio.Reader) error {
	window := xzWindow(in)
	if err := r.take(ctx, window); err != nil {
		return err
	}
	r.out = &xzReader{in: in, most: int64(window)}
	return nil
}

// take takes a window.
func (r *Reader) take(ctx context.Context, window uint64) (err error) {
	if window > MaxWindow {
		return fmt.Errorf("%w: a window of %d MiB, more than %d", ErrWindow, window>>20, MaxWindow>>20)
	}
	// Those who have windows end when the work does, and give them back.
	r.giveBack, err = windows.Take(ctx, int64(window))
	r.window = window
	return err
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.out.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = fmt.Errorf("%w: %w", ErrWindow, err)
	}
	return n, err
}

// Close gives the memory back. It does not close what is read. It may be called twice.
func (r *Reader) Close() error {
	r.close()
	r.close, r.out = func() {}, closed{}
	if r.window >= manyWindow {
		// The collector does not wait for its end when the next Reader asks for as much.
		runtime.GC()
	}
	r.window = 0
	r.giveBack()
	return nil
}

type closed struct{}

func (closed) Read([]byte) (int, error) { return 0, errors.New("reader is closed") }
