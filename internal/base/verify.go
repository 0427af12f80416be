package base

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nodeseal/nodeseal/internal/store"
)

// Verify rehashes every layer that comes from another place, with its file table
// where the place has one, and returns those that are not what they must be, by
// layer. The error is that of ctx. jobs layers are read at once; read is called
// with the layer's claimed length when it was read, and may be nil.
func (s *Source) Verify(ctx context.Context, jobs int, read func(n int64)) ([]*DamagedError, error) {
	var mu sync.Mutex
	var damaged []*DamagedError
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(jobs, 1))
	for _, f := range s.found {
		g.Go(func() error {
			err := f.check(gctx)
			switch {
			case gctx.Err() != nil:
				return context.Cause(gctx)
			case err != nil:
				mu.Lock()
				defer mu.Unlock()
				d := &DamagedError{Layer: f.diffID, Err: err}
				if f.told == nil {
					d.Path = f.place.path
				} else if !errors.As(f.told.damaged(gctx, err), &d) {
					return err
				}
				damaged = append(damaged, d)
			}
			if read != nil {
				read(f.at.Size)
			}
			return nil
		})
	}
	err := g.Wait()
	slices.SortFunc(damaged, func(a, b *DamagedError) int { return cmp.Compare(a.Layer, b.Layer) })
	return damaged, err
}

// Bytes is the sum of what Verify tells read.
func (s *Source) Bytes() (n int64) {
	for _, f := range s.found {
		n += f.at.Size
	}
	return n
}

// check reads one layer and its table. They are not open at the same time, as the
// order of package budget asks for.
func (f *found) check(ctx context.Context) error {
	if err := f.checkLayer(ctx); err != nil || f.at.Table == "" || f.told != nil {
		return err
	}
	t, err := f.place.file.OpenTable(ctx, f.at.Table)
	if err != nil {
		return err
	}
	defer t.Close()
	if _, err := io.Copy(io.Discard, t); err != nil {
		return fmt.Errorf("file table: %w", err)
	}
	return nil
}

func (f *found) checkLayer(ctx context.Context) error {
	r, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	sum := digest.SHA256.Digester()
	if _, err := io.CopyBuffer(struct{ io.Writer }{sum.Hash()}, struct{ io.Reader }{r}, make([]byte, 256<<10)); err != nil {
		return err
	}
	if sum.Digest() != f.at.Blob {
		return fmt.Errorf("%w: it is %s", store.ErrDamaged, sum.Digest())
	}
	return nil
}
