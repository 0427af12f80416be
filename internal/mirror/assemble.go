package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	blobs    map[digest.Digest]bundle.Blob
	places   map[digest.Digest]place
	readable map[digest.Digest][]byte
}

// place says where a layer or a file table is.
type place struct {
	compressed, blob digest.Digest // of the layer
	form             bundle.LayerForm
	table            bool
	size             int64 // about what it takes in the bundle
}

// assemble writes the bundle of the images that did not fail.
func (r *run) assemble(ctx context.Context, images []bundle.Image) (*Result, error) {
	failed := r.failures.sorted()
	images = slices.DeleteFunc(images, func(img bundle.Image) bool {
		return slices.ContainsFunc(failed, func(e *ImageError) bool { return e.Ref == img.Ref })
	})
	if len(images) == 0 {
		return nil, errors.Join(ErrNothing, joinFailures(failed))
	}
	a := &assembly{
		work: r.work, since: r.since, based: make(map[digest.Digest]bundle.Blob),
		blobs: make(map[digest.Digest]bundle.Blob), places: make(map[digest.Digest]place),
		readable: make(map[digest.Digest][]byte),
	}
	for i := range images {
		if images[i].Artifact {
			continue
		}
		if err := a.addImage(&images[i], r.o.Layers); err != nil {
			return nil, &ImageError{Ref: images[i].Ref, Err: err}
		}
	}
	for i := range images { // after all images: what is one of theirs is no attachment
		if err := a.addAttachments(&images[i], &r.attached); err != nil {
			return nil, &ImageError{Ref: images[i].Ref, Err: err}
		}
	}
	if err := a.addArtifacts(images); err != nil {
		return nil, err
	}
	inv := &bundle.Inventory{
		Layers: r.o.Layers, Release: r.o.Release, Encoder: r.enc.Name(), Images: images,
		Base: a.base(),
	}
	inv.SetFormat()
	for _, b := range a.blobs {
		inv.Blobs = append(inv.Blobs, b)
	}
	res := &Result{
		Inventory: inv, Failed: failed, Attached: r.attached,
		Downloaded: r.fetched.downloaded.Load(), Reused: r.fetched.reused.Load(),
	}
	return res, r.write(ctx, inv, a, res)
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

// addImage adds the blobs of an image and completes its layers.
func (a *assembly) addImage(img *bundle.Image, form bundle.LayerForm) error {
	small := []struct {
		digest digest.Digest
		kind   bundle.BlobKind
	}{{img.Digest, bundle.KindManifest}, {img.Config.Digest, bundle.KindConfig}, {img.Index, bundle.KindIndex}}
	for _, s := range small {
		if s.digest == "" {
			continue
		}
		if err := a.addSmall(s.digest, s.kind); err != nil {
			return err
		}
	}
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
		a.places[t.Digest] = place{l.Digest, blob, form, true, n}
		all -= n
	}
	a.places[blob] = place{l.Digest, blob, form, false, all}
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
	if p.table {
		return a.work.OpenTable(p.compressed, p.blob, p.form)
	}
	return a.work.OpenLayer(p.compressed, p.blob, p.form)
}
