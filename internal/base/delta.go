package base

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/delta"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/internal/budget"
	"github.com/nodeseal/nodeseal/internal/store"
)

// DeltaBudget is the memory of all deltas that the process reads at the same time, in bytes: two of
// them. Against bundles their Spool takes archive.SpoolMemory besides.
const DeltaBudget = 2 * delta.Memory

//nolint:gochecknoglobals // memory is the process's, so this is, too
var deltas = budget.New(DeltaBudget)

// told is a layer that the bundle holds as a delta.
type told struct {
	src   store.Source // the bundle
	delta bundle.Delta
	blob  bundle.Blob // the layer's
	from  map[digest.Digest]*Place
	spool *archive.Spool
}

// tell returns how w is made by a delta: nil where the bundle has none of it. missing are the
// older layers that no place has.
func (w wanted) tell(src store.Source, base *bundle.Base, places []*Place) (t *told, missing []digest.Digest) {
	if w.exact {
		return nil, nil
	}
	for _, d := range base.Deltas {
		if d.Layer == w.blob {
			t = &told{src: src, delta: d, from: make(map[digest.Digest]*Place)}
			break
		}
	}
	if t == nil {
		return nil, nil
	}
	for _, b := range base.Blobs {
		if b.Digest == w.blob {
			t.blob = b
		}
	}
	for _, layer := range t.delta.From {
		for _, p := range places {
			if p.hasFiles(layer) {
				t.from[layer] = p
				break
			}
		}
		if t.from[layer] == nil {
			missing = append(missing, layer)
		}
	}
	return t, missing
}

// found is where the layer is read, with the place that has the older one.
func (t *told) found(w wanted, places []*Place) *found {
	f := &found{wanted: w, at: store.Location{Blob: w.diffID, Size: t.blob.Size, Table: t.blob.Table}, told: t, open: t.open}
	for _, layer := range t.delta.From {
		f.place = t.from[layer]
	}
	if f.place == nil && len(places) > 0 {
		f.place = places[0]
	}
	return f
}

// open makes the plain tar. Its io.EOF means that it is the layer.
func (t *told) open(ctx context.Context) (io.ReadCloser, error) {
	giveBack, err := deltas.Take(ctx, delta.Memory)
	if err != nil {
		return nil, err
	}
	r, err := t.read(ctx)
	if err != nil {
		giveBack()
		return nil, t.fail(ctx, err)
	}
	return &made{told: t, ctx: ctx, r: r, sum: sha256.New(), giveBack: giveBack}, nil
}

// deltaReader is a delta while it is read.
type deltaReader struct {
	*delta.Reader
	raw  io.Closer
	olds *olds
}

// Close implements io.Closer.
func (r *deltaReader) Close() error { return errors.Join(r.Reader.Close(), r.raw.Close()) }

func (t *told) read(ctx context.Context) (*deltaReader, error) {
	raw, err := t.src.OpenLayerUnverified(ctx, t.delta.Delta)
	if err != nil {
		return nil, err
	}
	o := &olds{ctx: ctx, from: func(layer digest.Digest) *Place { return t.from[layer] }, spool: t.spool}
	r, err := delta.NewReader(raw, t.blob.Size, o)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return &deltaReader{r, raw, o}, nil
}

// fail says who is at fault, unless the work was to end.
func (t *told) fail(ctx context.Context, err error) error {
	var old *delta.OldError
	switch {
	case ctx.Err() != nil:
		return err
	case errors.Is(err, archive.ErrSpool):
		return fmt.Errorf("making layer %s: %w", t.delta.Layer, err)
	case errors.As(err, &old):
		return fmt.Errorf("%s: %w: %w", t.path(old.Layer), store.ErrDamaged, err)
	}
	return fmt.Errorf("%w of layer %s: %w: %w", errDelta, t.delta.Layer, store.ErrDamaged, err)
}

// errDelta is wrapped where the bundle is at fault, and no base.
var errDelta = errors.New("the bundle's delta")

// damaged says who is at fault for an error about the layer: the base has an old file that was
// changed, or the bundle a delta that makes another layer. Who reads the layer may have found that
// it is wrong before its end.
func (t *told) damaged(ctx context.Context, err error) error {
	var old *delta.OldError
	if !errors.As(err, &old) && !errors.Is(err, errDelta) {
		cause := t.blame(ctx)
		if cause == nil || ctx.Err() != nil || errors.Is(cause, archive.ErrSpool) {
			return err // the layer is what it must be, or nothing is known
		}
		err = fmt.Errorf("%w: %w", t.fail(ctx, cause), err)
	}
	if errors.As(err, &old) && !t.right(ctx, old.Layer) {
		return &DamagedError{Layer: t.delta.Layer, Path: t.path(old.Layer), Err: err}
	}
	if !errors.Is(err, errDelta) {
		err = fmt.Errorf("%w makes another layer of right files: %w", errDelta, err)
	}
	return &DamagedError{Layer: t.delta.Layer, Err: err}
}

// right reports whether an older layer is what it must be: then what a delta wants of it is wrong.
func (t *told) right(ctx context.Context, older digest.Digest) bool {
	p := t.from[older]
	if p == nil || !p.HasOld(ctx, older) {
		return p == nil
	}
	r, err := p.OpenOld(ctx, older)
	if err != nil {
		return false
	}
	sum, err := digest.FromReader(r)
	return errors.Join(err, r.Close()) == nil && sum == older
}

// path is that of the place that has an older layer.
func (t *told) path(older digest.Digest) string {
	if p := t.from[older]; p != nil {
		return p.path
	}
	return "the base"
}

// made is the tar of a layer while a delta makes it.
type made struct {
	*told
	ctx      context.Context //nolint:containedctx // io.Reader has no place for it, and a layer is one call
	r        *deltaReader
	sum      hash.Hash
	giveBack func()
}

// Read implements io.Reader.
func (m *made) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.sum.Write(p[:n])
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF):
		err = m.fail(m.ctx, err)
	case digest.NewDigest(digest.SHA256, m.sum) != m.delta.Layer:
		// Who is at fault is found when the readers of the layer, and of its table, are closed: see damaged.
		err = fmt.Errorf("layer %s: %w: %w", m.delta.Layer, store.ErrDamaged, errMade)
	}
	return n, err
}

// Close implements io.Closer.
func (m *made) Close() error {
	if m.giveBack == nil {
		return nil
	}
	defer func() { m.giveBack(); m.giveBack = nil }()
	return m.r.Close()
}

// errMade is the cause where a delta makes another layer and neither side can be named.
var errMade = errors.New("it makes another layer")

// blame finds why a delta makes another layer: it is not the one that the inventory names, or an
// old file is not what it was. The first such file is named. It is nil if the layer is right. It
// waits for memory, so the caller has no reader of a layer or table open.
func (t *told) blame(ctx context.Context) error {
	raw, err := t.src.OpenLayerUnverified(ctx, t.delta.Delta)
	if err != nil {
		return err
	}
	sum, err := digest.FromReader(raw)
	if err = errors.Join(err, raw.Close()); err != nil {
		return err
	}
	if sum != t.delta.Delta {
		return fmt.Errorf("%w: delta %s is %s", bundle.ErrDamaged, t.delta.Delta, sum)
	}
	table, err := t.src.OpenTable(ctx, t.blob.Table)
	if err != nil {
		return err
	}
	defer table.Close()
	giveBack, err := deltas.Take(ctx, delta.Memory)
	if err != nil {
		return err
	}
	defer giveBack()
	r, err := t.read(ctx)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // it was only read
	all := sha256.New()
	if err := r.compare(io.TeeReader(r, all), filetable.NewReader(table)); err != nil {
		return err
	}
	if digest.NewDigest(digest.SHA256, all) != t.delta.Layer {
		return errMade
	}
	return nil
}

// compare reads in, which is the layer again, beside its table.
func (r *deltaReader) compare(in io.Reader, table *filetable.Reader) error {
	members := tar.NewReader(in)
	for {
		e, err := table.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, struct{ io.Reader }{in})
			return err
		}
		if err != nil {
			return errors.Join(errMade, err)
		}
		if _, err := members.Next(); err != nil {
			return errors.Join(errMade, ignoreEOF(err))
		}
		if e.Type != tar.TypeReg {
			continue
		}
		sum := sha256.New()
		r.olds.last = nil
		if _, err := io.Copy(sum, struct{ io.Reader }{members}); err != nil {
			return err
		}
		if last := r.olds.last; [sha256.Size]byte(sum.Sum(nil)) != e.SHA256 && last != nil {
			last.Err = fmt.Errorf("its content was changed: %q of the new layer, which is made of it, is another", e.Name)
			return last
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// olds opens the files of older layers for one delta.
type olds struct {
	ctx   context.Context                  //nolint:containedctx // delta.Old has no place for it, and a delta is one call
	from  func(layer digest.Digest) *Place // nil where there is none
	spool *archive.Spool                   // for layers of bundles
	last  *delta.OldError                  // the file that was opened last, without a cause
}

// OpenOld implements delta.Old.
func (o *olds) OpenOld(layer digest.Digest, f delta.File) (delta.OldFile, error) {
	if err := o.ctx.Err(); err != nil {
		return nil, context.Cause(o.ctx)
	}
	o.last = &delta.OldError{Layer: layer, Path: f.Path}
	p := o.from(layer)
	if p == nil {
		return nil, fmt.Errorf("layer %s is not among those that the inventory names: %w", layer, store.ErrUnknown)
	}
	if p.store != nil {
		return p.openFile(layer, f)
	}
	at, err := p.file.LayerAt(o.ctx, layer, o.spool)
	if err != nil {
		return nil, err
	}
	return struct {
		io.ReaderAt
		io.Closer
	}{io.NewSectionReader(at, f.Offset, f.Size), io.NopCloser(nil)}, nil
}

// openFile opens a file of a store, which has to be as long as it was.
func (p *Place) openFile(layer digest.Digest, f delta.File) (delta.OldFile, error) {
	file, err := p.store.OpenFile(layer, f.Path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() != f.Size {
		err = fmt.Errorf("it has %d bytes, want %d", info.Size(), f.Size)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// hasFiles reports whether files of the layer can be read from any place in them.
func (p *Place) hasFiles(layer digest.Digest) bool {
	if p.store != nil {
		return p.store.HasFiles(layer)
	}
	b, ok := p.blobs[layer]
	return ok && b.Kind == bundle.KindLayer && p.layers[layer] == layer
}

// HasOld reports whether new layers can be told by the files of the layer: the place has them,
// and gives its plain tar, which says where they are.
func (p *Place) HasOld(ctx context.Context, layer digest.Digest) bool {
	return p.hasFiles(layer) && (p.store == nil || p.store.HasLayer(ctx, layer))
}

// OpenOld opens the plain tar of a layer that HasOld reports. It is not verified. The caller
// closes it.
func (p *Place) OpenOld(ctx context.Context, layer digest.Digest) (io.ReadCloser, error) {
	if p.store != nil {
		return p.openStored(ctx, layer)
	}
	return p.file.OpenLayerUnverified(ctx, layer)
}

// OldFiles opens files of layers that HasOld reports, those of a bundle by way of spool. It is for
// one goroutine.
func (p *Place) OldFiles(ctx context.Context, spool *archive.Spool) delta.Old {
	return &olds{ctx: ctx, from: func(digest.Digest) *Place { return p }, spool: spool}
}

// Beside is how many bytes a work file takes while layers are made of the files of bundles.
func (s *Source) Beside() int64 {
	var n int64
	seen := make(map[digest.Digest]bool)
	for _, f := range s.found {
		if f.told == nil {
			continue
		}
		for layer, p := range f.told.from {
			if p.store == nil && !seen[layer] {
				seen[layer] = true
				n += p.blobs[layer].Size
			}
		}
	}
	return min(n, archive.SpoolSize)
}
