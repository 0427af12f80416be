package archive_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
)

// counted counts the bytes that are read.
type counted struct {
	io.ReaderAt
	mu sync.Mutex
	n  int64
}

// ReadAt implements io.ReaderAt.
func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.mu.Lock()
	c.n += int64(len(p))
	c.mu.Unlock()
	return c.ReaderAt.ReadAt(p, off)
}

// TestLayerAt reads pieces all over layers, many at once: each frame is decoded once if the work
// file is long enough, and the bytes are right if it is emptied all the time.
func TestLayerAt(t *testing.T) {
	t.Parallel()
	s, enc := newSample(t, 2, 3<<20)
	out := written(t, s, enc)
	file := &counted{ReaderAt: bytes.NewReader(out.Bytes())}
	r, err := archive.NewReader(t.Context(), file, int64(out.Len()))
	must(t, err)
	layers := make(map[digest.Digest][]byte)
	for _, b := range r.Inventory().Blobs {
		if b.Kind != bundle.KindLayer {
			continue
		}
		l, err := r.OpenLayerUnverified(t.Context(), b.Digest)
		must(t, err)
		layers[b.Digest], err = io.ReadAll(l)
		must(t, errors.Join(err, l.Close()))
	}
	for most, reads := range map[int64]int{archive.SpoolSize: 20, 13 << 20: 4} {
		dir := t.TempDir()
		spool := archive.NewSpool(dir)
		spool.Shorten(most)
		file.n = 0
		var group sync.WaitGroup
		for seed := range uint64(4) {
			group.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, 0))
				for d, want := range layers {
					at, err := r.LayerAt(t.Context(), d, spool)
					if err != nil {
						t.Error(err)
						return
					}
					for range reads {
						p, off := make([]byte, rnd.IntN(100_000)), rnd.IntN(len(want))
						n, err := at.ReadAt(p, int64(off))
						short := off+len(p) > len(want)
						if (err != nil) != short || short && !errors.Is(err, io.EOF) || n != min(len(p), len(want)-off) || !bytes.Equal(p[:n], want[off:off+n]) {
							t.Errorf("%d bytes at %d of %d: %d, %v", len(p), off, len(want), n, err)
						}
					}
				}
			})
		}
		group.Wait()
		if most == archive.SpoolSize && file.n > int64(out.Len()) {
			t.Errorf("%d bytes were read of a bundle of %d", file.n, out.Len())
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
			t.Errorf("the work file has a name: %v, %v", names, err)
		}
		must(t, spool.Close())
	}
}

// TestSpoolErrors blames the work file for what is its, and the bundle for its own.
func TestSpoolErrors(t *testing.T) {
	t.Parallel()
	s, enc := newSample(t, 1, 1000)
	layer := s.inv.Images[0].Layers[0].DiffID
	out := written(t, s, enc).Bytes()
	r, err := archive.NewReader(t.Context(), bytes.NewReader(out), int64(len(out)))
	must(t, err)
	read := func(ctx context.Context, dir string) error {
		spool := archive.NewSpool(dir)
		defer func() { must(t, spool.Close()) }()
		at, err := r.LayerAt(ctx, layer, spool)
		must(t, err)
		_, err = at.ReadAt(make([]byte, 10), 0)
		return err
	}
	must(t, read(t.Context(), t.TempDir()))
	if err := read(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, archive.ErrSpool) || errors.Is(err, bundle.ErrDamaged) {
		t.Errorf("without its directory: %v", err)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the end")
	cancel(why)
	if err := read(ended, t.TempDir()); !errors.Is(err, why) {
		t.Errorf("when the work was to end: %v", err)
	}
	spool := archive.NewSpool(t.TempDir())
	must(t, spool.Close())
	at, err := r.LayerAt(t.Context(), layer, spool)
	must(t, err)
	if _, err := at.ReadAt(make([]byte, 10), 0); !errors.Is(err, archive.ErrSpool) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := r.LayerAt(t.Context(), digest.FromString("none"), spool); !errors.Is(err, bundle.ErrNoBlob) {
		t.Errorf("of no layer: %v", err)
	}
}
