package archive

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
)

// LayerAt gives the bytes of a blob from any place, not verified. Its Spool has the frames that
// were decoded. It is safe for use by many goroutines, and needs no closing.
type LayerAt struct {
	ctx   context.Context //nolint:containedctx // io.ReaderAt has no place for it, and one delta is one call
	b     *Reader
	m     member
	spool *Spool
}

// LayerAt returns a reader of the layer d as the bundle holds it. The error wraps
// bundle.ErrNoBlob if the bundle does not hold the layer.
func (b *Reader) LayerAt(ctx context.Context, d digest.Digest, spool *Spool) (*LayerAt, error) {
	m, err := b.member(d)
	if err != nil {
		return nil, err
	}
	return &LayerAt{ctx: ctx, b: b, m: m, spool: spool}, nil
}

// ReadAt implements io.ReaderAt. Errors of the Spool wrap ErrSpool, those of the bundle
// bundle.ErrDamaged.
func (l *LayerAt) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("reading blob %s at %d", l.m.blob, off)
	}
	for n < len(p) {
		if off >= l.m.size {
			return n, io.EOF
		}
		tar := l.m.content() + off
		i := l.b.frameAt(tar)
		most := min(int64(len(p)-n), l.m.size-off)
		took, err := l.spool.read(l.ctx, l.b, i, p[n:int64(n)+most], tar-l.b.frames[i].tar)
		if err != nil {
			return n, l.b.damage(l.m, err)
		}
		n, off = n+took, off+int64(took)
	}
	return n, nil
}
