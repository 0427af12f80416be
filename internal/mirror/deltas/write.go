package deltas

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	format "github.com/nodeseal/nodeseal/bundle/delta"
	"github.com/nodeseal/nodeseal/internal/delta"
)

// write writes the delta of l, that of the layers only that it needs.
func (m *maker) write(ctx context.Context, f *os.File, p *delta.Plan, l *Layer) (*shorter, error) {
	for {
		if err := f.Truncate(0); err != nil {
			return nil, err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		r, err := l.Open(ctx)
		if err != nil {
			return nil, err
		}
		w := &shorter{w: f, sum: sha256.New(), most: l.Held}
		used, err := p.Write(ctx, w, r, l.Size, m.old.OldFiles(ctx, m.spool))
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		switch len(used) {
		case 0:
			return nil, errNothing
		case len(p.From):
			return w, nil
		}
		p.From = used
	}
}

// prove reads a delta again: it makes the layer.
func (m *maker) prove(ctx context.Context, f *os.File, l *Layer) (err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r, err := format.NewReader(f, l.Size, m.old.OldFiles(ctx, m.spool))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	sum := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{r}, make([]byte, 256<<10)); err != nil {
		return err
	}
	if is := digest.NewDigest(digest.SHA256, sum); is != l.DiffID {
		return fmt.Errorf("it makes the layer %s", is)
	}
	return nil
}

// shorter passes on fewer than most bytes, and hashes them.
type shorter struct {
	w       io.Writer
	sum     hash.Hash
	n, most int64
}

// Write implements io.Writer.
func (s *shorter) Write(p []byte) (int, error) {
	if int64(len(p)) >= s.most-s.n {
		return 0, errLonger
	}
	n, err := s.w.Write(p)
	s.sum.Write(p[:n])
	s.n += int64(n)
	return n, err
}
