// Package compression reads layers whatever they are compressed with.
package compression

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
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

// Memory that decoders may ask for, in bytes. zstd and xz say in their headers how
// much of what was decoded they look back at.
const (
	// SmallWindow is what any number of readers may have at the same time.
	SmallWindow = 32 << 20
	// MaxWindow is the most (zstd --long=27, zstd -22 --ultra); one reader of the
	// process at a time has more than SmallWindow.
	MaxWindow = 128 << 20
)

// ErrWindow is wrapped where a layer needs more memory to decode than MaxWindow, or
// says so only after its beginning.
var ErrWindow = errors.New("decoding it takes too much memory")

// largeWindow is held by the reader that has more than SmallWindow. Memory is the
// process's, so this is, too.
var largeWindow sync.Mutex //nolint:gochecknoglobals // as said

// bufferSize is how much is read ahead, to see how it is compressed.
const bufferSize = 256 << 10

// Reader gives the plain bytes of a layer. Close must be called.
type Reader struct {
	// Kind is how the layer is compressed.
	Kind Kind

	out   io.Reader
	close func()
	large bool
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

// NewReader returns a Reader of the layer r. It reads ahead. Where the layer takes more
// than SmallWindow it waits until no other Reader does. The errors of r are passed on.
func NewReader(r io.Reader) (*Reader, error) {
	in := bufio.NewReaderSize(r, bufferSize)
	head, err := in.Peek(zstd.HeaderMaxSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	out := &Reader{Kind: Detect(head), out: in, close: func() {}}
	switch out.Kind {
	case Gzip:
		out.out, err = gzip.NewReader(in)
	case Zstd:
		err = out.zstd(in, head)
	case Bzip2:
		out.out, err = bzip2.NewReader(in), nil
	case Xz:
		out.out, err = &xzReader{in: in, grow: out.grow}, nil
	case None:
		err = nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", out.Kind, err), out.Close())
	}
	return out, nil
}

// zstd starts a decoder. The window of the first frame decides for all of them.
func (r *Reader) zstd(in io.Reader, head []byte) error {
	var frame zstd.Header
	window := uint64(SmallWindow)
	if err := frame.Decode(head); err == nil && frame.WindowSize > SmallWindow {
		if err := r.grow(frame.WindowSize); err != nil {
			return err
		}
		window = MaxWindow
	}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return err
	}
	r.out, r.close = z, z.Close
	return nil
}

// grow asks for a window.
func (r *Reader) grow(window uint64) error {
	switch {
	case window > MaxWindow:
		return fmt.Errorf("%w: a window of %d MiB, more than %d", ErrWindow, window>>20, MaxWindow>>20)
	case window > SmallWindow && !r.large:
		largeWindow.Lock()
		r.large = true
	}
	return nil
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.out.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		err = fmt.Errorf("%w: %w", ErrWindow, err)
	}
	return n, err
}

// Close gives the memory back. It does not close what is read. It may be called twice.
func (r *Reader) Close() error {
	r.close()
	r.close, r.out = func() {}, closed{}
	if r.large {
		r.large = false
		largeWindow.Unlock()
	}
	return nil
}

type closed struct{}

func (closed) Read([]byte) (int, error) { return 0, errors.New("reader is closed") }
