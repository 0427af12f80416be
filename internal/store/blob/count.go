package blob

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/vbatts/tar-split/archive/tar"
)

// Count reads the plain tar in a blob of l to its end, calls entry with each header, and
// returns how long the tar is. It writes nothing, and it does not prove the diff ID: it is for
// layers of which the inventory does not say the length, before room is asked for. read is that of
// Open. Errors are entry's, or as those of an import of the blob; ErrClaim where the tar is longer
// than any layer may be.
func Count(ctx context.Context, raw io.Reader, l *store.Layer, read func(n int64), entry func(*tar.Header) error) (int64, error) {
	plain, err := Open(ctx, raw, l, read)
	if err != nil {
		return 0, err
	}
	defer plain.Close()
	c := &counter{ctx: ctx, r: plain.Tar()}
	in := tar.NewReader(c)
	for {
		hdr, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, c.blame(err)
		}
		if err := entry(hdr); err != nil {
			return 0, err
		}
	}
	// The tar reader stops at the end mark; a tar-split keeps what follows.
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, c, make([]byte, 64<<10)); err != nil {
		return 0, err
	}
	return c.n, plain.Finish()
}

// counter counts what is read of a plain tar.
type counter struct {
	ctx context.Context //nolint:containedctx // of one call of Count
	r   io.Reader
	n   int64
	err error
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	if c.err = c.ctx.Err(); c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.n > bundle.MaxBlob {
		err = fmt.Errorf("%w: its plain tar has more than %d bytes", ErrClaim, int64(bundle.MaxBlob))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// blame returns what the stream failed with, if it did, and not what the tar reader makes of it.
func (c *counter) blame(err error) error {
	if c.err != nil {
		return c.err
	}
	return &extract.RefusedError{Err: err}
}
