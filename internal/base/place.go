package base

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/imagelist/nodestore"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/blob"
)

// Place is a bundle or a store that may have layers. It is safe for use by many
// goroutines.
type Place struct {
	path  string
	store *nodestore.Store
	own   bool // a store of nodeseal's
	// Of a bundle:
	file   *archive.File
	blobs  map[digest.Digest]bundle.Blob // that it has itself
	layers map[digest.Digest]digest.Digest
}

// Open opens a store, which is a directory, or a bundle. Errors wrap
// fs.ErrNotExist where there is none, else they are those of archive.OpenFile. The
// caller closes it.
func Open(ctx context.Context, path string) (*Place, error) {
	p := &Place{path: path}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		if p.store, err = nodestore.Open(path); err != nil {
			return nil, fmt.Errorf("base: %w", err)
		}
		_, err = os.Stat(filepath.Join(path, store.OwnDir))
		p.own = err == nil
		return p, nil
	}
	if p.file, err = archive.OpenFile(ctx, path); err != nil {
		return nil, fmt.Errorf("base: %w", err)
	}
	inv := p.file.Inventory()
	p.blobs, p.layers = make(map[digest.Digest]bundle.Blob), make(map[digest.Digest]digest.Digest)
	for _, b := range inv.Blobs {
		p.blobs[b.Digest] = b
	}
	for i := range inv.Images {
		for _, l := range inv.Images[i].Layers {
			// Of two blobs of one layer the expanded one is taken: its files can be read in place.
			if b, ok := p.blobs[inv.LayerBlob(l)]; ok && p.layers[l.DiffID] != l.DiffID {
				p.layers[l.DiffID] = b.Digest
			}
		}
	}
	return p, nil
}

// Path is what Open was given.
func (p *Place) Path() string { return p.path }

// Links says that it is a store whose files may be linked to: one of nodeseal's,
// in which nobody changes them. Layers of others are read, and so copied.
func (p *Place) Links() bool { return p.own }

// Close closes the place.
func (p *Place) Close() error {
	if p.file == nil {
		return nil
	}
	return p.file.Close()
}

// wanted is a layer that somebody else has to give.
type wanted struct {
	blob     digest.Digest // what the bundle would have it as
	exact    bool          // a node keeps these bytes: the plain tar is not enough
	diffID   digest.Digest
	diffSize int64 // 0 where it is not known
	size     int64 // of the registry's bytes
	image    string
}

// found is where a wanted layer is.
type found struct {
	wanted
	place *Place
	at    store.Location
	told  *told // where a delta makes it; nil otherwise
	open  func(ctx context.Context) (io.ReadCloser, error)
}

// find returns where the place has w: preferably as the bundle would have it, else, if
// that is enough, as the plain tar.
func (p *Place) find(ctx context.Context, w wanted) (*found, bool) {
	f := &found{wanted: w, place: p, at: store.Location{Blob: w.diffID, Size: w.diffSize}}
	if p.store != nil && w.exact {
		f.at = store.Location{Blob: w.blob, Size: w.size}
		f.open = func(ctx context.Context) (io.ReadCloser, error) { return p.openOriginal(ctx, w.blob) }
		return f, p.store.HasOriginal(w.blob)
	}
	if p.store != nil {
		f.open = func(ctx context.Context) (io.ReadCloser, error) { return p.openStored(ctx, w.diffID) }
		return f, p.store.HasLayer(ctx, w.diffID)
	}
	if b, ok := p.blobs[w.blob]; ok && (b.Kind == bundle.KindLayer || b.Kind == bundle.KindArtifact) {
		f.at = store.Location{Blob: w.blob, Size: b.Size, Table: b.Table}
		f.open = func(ctx context.Context) (io.ReadCloser, error) { return p.file.OpenLayerUnverified(ctx, w.blob) }
		return f, true
	}
	there, ok := p.layers[w.diffID]
	if !ok || w.exact {
		return nil, false
	}
	if there == w.diffID {
		b := p.blobs[there]
		f.at.Size, f.at.Table = b.Size, b.Table
		f.open = func(ctx context.Context) (io.ReadCloser, error) { return p.file.OpenLayerUnverified(ctx, there) }
		return f, true
	}
	f.open = func(ctx context.Context) (io.ReadCloser, error) { return p.openCompressed(ctx, there, w.diffID) }
	return f, true
}

// openStored puts the tar of a layer together from a store's files.
func (p *Place) openStored(ctx context.Context, diffID digest.Digest) (io.ReadCloser, error) {
	src := nodestore.Source{Stores: []*nodestore.Store{p.store}}
	r, ok, err := src.PlainLayer(ctx, diffID)
	if err == nil && !ok {
		err = fmt.Errorf("layer %s: %w", diffID, store.ErrUnknown)
	}
	if err != nil {
		return nil, p.fail(ctx, err)
	}
	return &reader{Reader: r, closers: []func() error{r.Close}, fail: func(err error) error { return p.fail(ctx, err) }}, nil
}

// openOriginal opens a layer that a store keeps as the registry has it.
func (p *Place) openOriginal(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	f, err := p.store.OpenOriginal(d)
	if err != nil {
		return nil, p.fail(ctx, err)
	}
	return &reader{Reader: f, closers: []func() error{f.Close}, fail: func(err error) error { return p.fail(ctx, err) }}, nil
}

// openCompressed decompresses a layer that a bundle has as the registry had it.
func (p *Place) openCompressed(ctx context.Context, there, diffID digest.Digest) (io.ReadCloser, error) {
	raw, err := p.file.OpenLayerUnverified(ctx, there)
	if err != nil {
		return nil, p.fail(ctx, err)
	}
	plain, err := blob.Open(ctx, raw, &store.Layer{Blob: there, DiffID: diffID}, nil)
	if err != nil {
		return nil, errors.Join(p.fail(ctx, err), raw.Close())
	}
	closePlain := func() error { plain.Close(); return nil }
	return &reader{Reader: plain, closers: []func() error{closePlain, raw.Close}, fail: func(err error) error { return p.fail(ctx, err) }}, nil
}

// fail says that the place is at fault, unless the work was to end.
func (p *Place) fail(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%s: %w: %w", p.path, store.ErrDamaged, err)
}

// reader reads a layer and gives errors their place.
type reader struct {
	io.Reader
	closers []func() error
	fail    func(error) error
}

// Read implements io.Reader.
func (r *reader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.fail(err)
	}
	return n, err
}

// Close implements io.Closer.
func (r *reader) Close() error {
	var errs []error
	for _, c := range r.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}
