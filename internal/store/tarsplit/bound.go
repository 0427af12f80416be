package tarsplit

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// ErrTooLong is wrapped where a tar-split is longer than one of its layer can be.
var ErrTooLong = errors.New("tar-split is longer than its layer's can be")

// Of each byte of a tar a tar-split has at most perByte, where every byte is one of a
// name that JSON escapes, and some for each entry, of which a tar has one in 512 bytes.
const (
	perByte  = 8
	overhead = 1 << 20
)

// Bound returns the plain tar-split r of a layer whose tar has diffSize bytes, for
// NewReader. It ends with an error that wraps ErrTooLong where r is longer than that can
// be, and with the cause of ctx when ctx ends. A diffSize of 0 or less is not known, and
// bounds nothing.
func Bound(ctx context.Context, r io.Reader, diffSize int64) io.Reader {
	left := int64(-1)
	if diffSize > 0 {
		left = min(diffSize, 1<<50)*perByte + overhead
	}
	return &bound{ended: func() error {
		if ctx.Err() == nil {
			return nil
		}
		return context.Cause(ctx)
	}, r: r, left: left, diffSize: diffSize}
}

type bound struct {
	ended    func() error
	r        io.Reader
	left     int64 // -1: no bound
	diffSize int64
}

// Read implements io.Reader.
func (b *bound) Read(p []byte) (int, error) {
	if err := b.ended(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	if b.left >= 0 {
		if int64(n) > b.left {
			return 0, fmt.Errorf("%w: more than %d bytes for a layer of %d", ErrTooLong, min(b.diffSize, 1<<50)*perByte+overhead, b.diffSize)
		}
		b.left -= int64(n)
	}
	return n, err
}
