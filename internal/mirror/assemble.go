package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/mirror/workdir"
	"github.com/nodeseal/nodeseal/internal/progress"
)

// ErrNothing is returned when not one image is left to bundle.
var ErrNothing = errors.New("no image is left to bundle")

// assembly collects what goes into one bundle.
type assembly struct {
	work     *workdir.Dir
	since    *since
	based    map[digest.Digest]bundle.Blob // what is left to the base
	deltas   []bundle.Delta                // what the bundle has instead of some of it
	blobs    map[digest.Digest]bundle.Blob
	places   map[digest.Digest]place
	readable map[digest.Digest][]byte
}

// place says where a layer or a file table is.
type place struct {
	compressed, blob digest.Digest // of the layer
	form             bundle.LayerForm
	table            bool
	path             string // of a delta
	size             int64  // about what it takes in the bundle
}

// assemble writes the bundle of the images that did not fail.
func (r *run) assemble(ctx context.Context, images []bundle.Image) (*Result, error) {
	for {
		failed := r.failures.sorted()
		images = slices.DeleteFunc(images, func(img bundle.Image) bool { return r.failures.has(img.Ref) })
		if len(images) == 0 {
			return nil, errors.Join(ErrNothing, joinFailures(failed))
		}
		a, inv, attached, err := r.collect(ctx, images)
		if err != nil {
			return nil, err
		}
		if inv == nil {
			continue // without the images that have failed now
		}
		if err := r.tell(ctx, a, inv); err != nil {
			return nil, err
		}
		res := &Result{
			Inventory: inv, Failed: failed, Attached: attached,
			Downloaded: r.fetched.downloaded.Load(), Reused: r.fetched.reused.Load(),
		}
		return res, r.write(ctx, inv, a, res)
	}
}

// collect finds what of the work directory is in a bundle of the images. Without an error
// and without an inventory one of them has failed.
func (r *run) collect(ctx context.Context, images []bundle.Image) (*assembly, *bundle.Inventory, Attached, error) {
	a := &assembly{
		work: r.work, since: r.since, based: make(map[digest.Digest]bundle.Blob),
		blobs: make(map[digest.Digest]bundle.Blob), places: make(map[digest.Digest]place),
		readable: make(map[digest.Digest][]byte),
	}
	attached := r.attached
	attached.Problems = slices.Clone(attached.Problems)
	whole := true
	// A blob has one kind. What comes first has it, so that no image takes it from what another
	// one needs: what is read whole goes before layers, and images go before artifacts.
	for _, add := range []func(img *bundle.Image) error{
		onlyImages(a.addSmallOf),
		onlyImages(func(img *bundle.Image) error { return a.addLayers(img, r.o.Layers) }),
		func(img *bundle.Image) error { return a.addAttachments(img, &attached) },
		onlyArtifacts(a.addArtifact),
		onlyArtifacts(a.addArtifactLayers),
	} {
		for i := range images {
			if err := add(&images[i]); err != nil {
				whole = false
				if err := r.failed(ctx, images[i].Ref, err); err != nil {
					return nil, nil, attached, err
				}
			}
		}
	}
	if !whole {
		return nil, nil, attached, nil
	}
	inv := &bundle.Inventory{
		Layers: r.o.Layers, Release: r.o.Release, Encoder: r.enc.Name(), Images: images,
	}
	if err := a.fill(inv); err != nil {
		return nil, nil, attached, err
	}
	bad := inv.CheckImages()
	for _, i := range slices.Sorted(maps.Keys(bad)) {
		if err := r.failed(ctx, inv.Images[i].Ref, bad[i]); err != nil {
			return nil, nil, attached, err
		}
	}
	if len(bad) > 0 {
		return nil, nil, attached, nil
	}
	return a, inv, attached, nil
}

// fill puts the blobs that were collected into the inventory.
func (a *assembly) fill(inv *bundle.Inventory) error {
	inv.Base, inv.Blobs = a.base(), nil
	inv.SetFormat()
	for _, b := range a.blobs {
		inv.Blobs = append(inv.Blobs, b)
	}
	_, err := inv.Marshal() // which sorts it
	return err
}

func onlyImages(add func(*bundle.Image) error) func(*bundle.Image) error {
	return func(img *bundle.Image) error {
		if img.Artifact {
			return nil
		}
		return add(img)
	}
}

func onlyArtifacts(add func(*bundle.Image) error) func(*bundle.Image) error {
	return func(img *bundle.Image) error {
		if !img.Artifact {
			return nil
		}
		return add(img)
	}
}

func joinFailures(failed []*ImageError) error {
	errs := make([]error, len(failed))
	for i, e := range failed {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// write puts the bundle at its path.
func (r *run) write(ctx context.Context, inv *bundle.Inventory, a *assembly, res *Result) (err error) {
	f, err := r.create()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r.o.Progress.Begin(PhaseWrite, a.estimate(), progress.Bytes)
	res.SHA256, err = archive.Write(ctx, f, inv, a, r.enc, func(n int64) {
		res.Size += n
		r.o.Progress.Add(PhaseWrite, n)
	})
	if err != nil {
		return err
	}
	if err := f.Commit(); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	r.o.Progress.End(PhaseWrite)
	return nil
}

// output is a bundle in the making.
type output interface {
	io.WriteCloser
	Commit() error
}

// create begins the bundle, in one file or in parts.
func (r *run) create() (output, error) {
	if r.o.Split > 0 {
		return split.Create(r.o.Output, r.o.Split)
	}
	f, err := atomicfile.Create(r.o.Output, 0o644, atomicfile.WithPartialName())
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return f, nil
}

// estimate is how many bytes the bundle has, but for small blobs and ends.
func (a *assembly) estimate() (n int64) {
	for _, p := range a.places {
		n += p.size
	}
	return n
}

// smallOf are the blobs of an image that are read whole, with what each of them is.
func smallOf(img *bundle.Image) []bundle.Blob {
	out := []bundle.Blob{{Digest: img.Digest, Kind: bundle.KindManifest}, {Digest: img.Config.Digest, Kind: bundle.KindConfig}}
	if img.Index != "" {
		out = append(out, bundle.Blob{Digest: img.Index, Kind: bundle.KindIndex})
	}
	return out
}

// addSmallOf adds the blobs of an image that are no layers.
func (a *assembly) addSmallOf(img *bundle.Image) error {
	for _, b := range smallOf(img) {
		if err := a.addSmall(b.Digest, b.Kind); err != nil {
			return err
		}
	}
	return nil
}

// addLayers adds the layers of an image and completes them.
func (a *assembly) addLayers(img *bundle.Image, form bundle.LayerForm) error {
	for i := range img.Layers {
		if err := a.addLayer(&img.Layers[i], formOf(img.Layers[i], form)); err != nil {
			return err
		}
	}
	if form == bundle.Original || img.Exact() {
		return nil // its own manifest is readable
	}
	readable, err := img.Readable()
	if err != nil {
		return err
	}
	d := digest.FromBytes(readable)
	if b, ok := a.blobs[d]; ok && b.Kind != bundle.KindReadable {
		return fmt.Errorf("the %s %s of another image is this image's manifest over unpacked layers", b.Kind, d)
	}
	a.readable[d] = readable
	a.blobs[d] = bundle.Blob{Digest: d, Size: int64(len(readable)), Kind: bundle.KindReadable}
	return nil
}

// addAttachments adds the blobs of what is attached to an image. A blob is of one
// kind: an attachment with one that is also an image's own, as the manifest of an
// image of the list that refers to another one, is left out.
func (a *assembly) addAttachments(img *bundle.Image, found *Attached) error {
	kept := make([]bundle.Attachment, 0, len(img.Attachments))
	for _, att := range img.Attachments {
		all := append([]digest.Digest{att.Digest}, att.Blobs...)
		i := slices.IndexFunc(all, func(d digest.Digest) bool {
			b, ok := a.blobs[d]
			_, based := a.based[d]
			return based || ok && b.Kind != bundle.KindAttachment
		})
		if i >= 0 {
			found.Problems = append(found.Problems, &ImageError{
				Ref: img.Ref, Err: fmt.Errorf("attachment %s: %s is part of an image of the bundle", att.Digest, all[i]),
			})
			continue
		}
		for _, d := range all {
			if err := a.addSmall(d, bundle.KindAttachment); err != nil {
				return err
			}
		}
		kept = append(kept, att)
	}
	img.Attachments = slices.Clip(kept)
	if len(kept) == 0 {
		img.Attachments = nil
	}
	return nil
}

func (a *assembly) addSmall(d digest.Digest, kind bundle.BlobKind) error {
	if _, ok := a.blobs[d]; ok {
		return nil
	}
	data, err := a.work.Small(d)
	if err != nil {
		return err
	}
	a.blobs[d] = bundle.Blob{Digest: d, Size: int64(len(data)), Kind: kind}
	return nil
}

// trueSize is what the inventory says of a layer whose registry has size bytes: 0 if the manifest says so, too.
func trueSize(l bundle.Layer, size int64) int64 {
	if size == l.Size {
		return 0
	}
	return size
}

func (a *assembly) addLayer(l *bundle.Layer, form bundle.LayerForm) error {
	blob := blobOf(*l, form)
	if a.addBased(l, blob, form) {
		return nil
	}
	rec := a.work.Record(l.Digest, blob, form)
	if rec == nil {
		return fmt.Errorf("layer %s: the work directory lost it", l.Digest)
	}
	if form != bundle.Original {
		l.DiffSize = rec.PlainSize()
	}
	l.TrueSize = trueSize(*l, rec.TrueSize)
	if _, ok := a.blobs[blob]; ok {
		return nil
	}
	b := bundle.Blob{Digest: blob, Size: rec.Size, Kind: bundle.KindLayer}
	all := rec.DiskSize()
	if t := rec.Table; t != nil && form != bundle.Original {
		n := workdir.FramesSize(t.Frames)
		b.Table, b.Lost = t.Digest, t.Lost
		a.blobs[t.Digest] = bundle.Blob{Digest: t.Digest, Size: t.Size, Kind: bundle.KindFileTable}
		a.places[t.Digest] = place{compressed: l.Digest, blob: blob, form: form, table: true, size: n}
		all -= n
	}
	a.places[blob] = place{compressed: l.Digest, blob: blob, form: form, size: all}
	a.blobs[blob] = b
	return nil
}

// ReadBlob implements archive.Content.
func (a *assembly) ReadBlob(_ context.Context, d digest.Digest) ([]byte, error) {
	if data, ok := a.readable[d]; ok {
		return data, nil
	}
	return a.work.Small(d)
}

// OpenFrames implements archive.Content.
func (a *assembly) OpenFrames(_ context.Context, d digest.Digest) (io.ReadCloser, []seekable.Frame, error) {
	p := a.places[d]
	switch {
	case p.path != "":
		r, err := openDelta(p, d)
		return r, nil, err
	case p.table:
		return a.work.OpenTable(p.compressed, p.blob, p.form)
	}
	return a.work.OpenLayer(p.compressed, p.blob, p.form)
}
