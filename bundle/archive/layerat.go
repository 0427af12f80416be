package archive

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
)

// LayerAt gives the bytes of a blob from any place, not verified. It keeps the frame that it
// decoded last: reads that follow each other cost one decoding. It is safe for use by many
// goroutines, and needs no closing.
type LayerAt struct {
	ctx context.Context //nolint:containedctx // io.ReaderAt has no place for it, and one delta is one call
	b   *Reader
	m   member

	mu                  sync.Mutex
	frame               int // -1 where there is none
	compressed, content []byte
}

// LayerAt returns a reader of the layer d as the bundle holds it. The error wraps
// bundle.ErrNoBlob if the bundle does not hold the layer.
func (b *Reader) LayerAt(ctx context.Context, d digest.Digest) (*LayerAt, error) {
	m, err := b.member(d)
	if err != nil {
		return nil, err
	}
	return &LayerAt{ctx: ctx, b: b, m: m, frame: -1}, nil
}

// ReadAt implements io.ReaderAt.
func (l *LayerAt) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("reading blob %s at %d", l.m.blob, off)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for n < len(p) {
		if off >= l.m.size {
			return n, io.EOF
		}
		piece, err := l.at(off)
		if err != nil {
			return n, l.b.damage(l.m, err)
		}
		took := copy(p[n:], piece)
		n, off = n+took, off+int64(took)
	}
	return n, nil
}

// at returns bytes of the blob from off on, at least one.
func (l *LayerAt) at(off int64) ([]byte, error) {
	if err := l.ctx.Err(); err != nil {
		return nil, context.Cause(l.ctx)
	}
	tar := l.m.content() + off
	i := l.b.frameAt(tar)
	if i != l.frame {
		var err error
		l.frame = -1
		if l.compressed, l.content, err = l.b.decodeFrame(i, l.compressed, l.content); err != nil {
			return nil, err
		}
		l.frame = i
	}
	piece := l.content[tar-l.b.frames[i].tar:]
	return piece[:min(int64(len(piece)), l.m.size-off)], nil
}
