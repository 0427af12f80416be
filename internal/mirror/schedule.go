package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/mirror/workdir"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/layout"
)

// job is one layer to fetch: the bytes that one compressed digest names.
type job struct {
	layer bundle.Layer
	// blob is what the bundle will hold it as.
	blob digest.Digest
	// refs are the images that need it, any of whose repositories has it, and sizes what
	// each of them says of its length; title is the first one's name for people.
	refs  []string
	sizes []int64
	title string
	// manifest is of the first of them. urls are what it says of where the layer is besides,
	// once the registry was asked in vain.
	manifest digest.Digest
	urls     []string
	// also are layers with other compressed digests and the same blob. They
	// are verified too, after this one.
	also []*job
	// disputed says that images disagree about what it expands to.
	disputed bool
	// seen is how many bytes of it were reported as progress: what is fetched
	// again does not count again.
	seen int64
	// done says that the work directory has it, err why not.
	done bool
	err  error
}

// reached reports progress up to byte n of the layer.
func (r *run) reached(j *job, n int64) {
	if n > j.seen {
		r.o.Progress.Add(PhaseDownload, n-j.seen)
		j.seen = n
	}
}

// jobs returns the layers of the images that have to be in the work directory,
// each once, largest first. Last is one for all layers that are disputed.
func (r *run) jobs(images []bundle.Image) []*job {
	byDigest := make(map[digest.Digest]*job)
	byBlob := make(map[digest.Digest]*job)
	disputed := newDisputes(images)
	var out []*job
	for _, img := range artifactsLast(images) {
		for _, l := range img.Layers {
			known := byDigest[l.Digest]
			if disputed.is(l.Digest) {
				if img.Artifact {
					continue // it has what images have that are right
				}
				known = disputed.job(l)
			}
			if known != nil {
				known.refs, known.sizes = append(known.refs, img.Ref), append(known.sizes, l.Size)
				continue
			}
			blob := r.blobOf(l)
			if _, ok := r.since.proven(l, blob, r.isRaw(l)); ok {
				continue
			}
			j := &job{
				layer: l, blob: blob, refs: []string{img.Ref}, sizes: []int64{l.Size},
				title: imagelist.Title(img.Ref, img.From), manifest: img.Digest, disputed: disputed.is(l.Digest),
			}
			byDigest[l.Digest] = j
			if j.disputed {
				disputed.add(j)
				continue
			}
			if first, ok := byBlob[j.blob]; ok {
				first.also = append(first.also, j)
				continue
			}
			byBlob[j.blob] = j
			out = append(out, j)
		}
	}
	slices.SortStableFunc(out, func(a, b *job) int { return cmp.Compare(b.layer.Size, a.layer.Size) })
	if j := disputed.group(); j != nil {
		out = append(out, j)
	}
	return out
}

// fetchLayers has every layer of the images in the work directory, or notes
// the images that cannot be had.
func (r *run) fetchLayers(ctx context.Context, images []bundle.Image) error {
	jobs := r.jobs(images)
	var total int64
	for _, j := range jobs {
		total += j.size()
	}
	r.o.Progress.Begin(PhaseDownload, total, progress.Bytes)
	last := len(jobs)
	if last > 0 && jobs[last-1].disputed {
		last-- // it may write the files of others: it goes alone
	}
	for _, some := range [][]*job{jobs[:last], jobs[last:]} {
		err := r.twice(ctx, len(some), func(ctx context.Context, i int) error {
			return r.layerGroup(ctx, some[i])
		}, func(ctx context.Context, i int, _ error) error {
			return r.settle(ctx, some[i])
		})
		if err != nil {
			return err
		}
	}
	r.o.Progress.End(PhaseDownload)
	return nil
}

func (j *job) size() int64 {
	n := j.layer.Size
	for _, a := range j.also {
		n += a.layer.Size
	}
	return n
}

// group returns j and the layers that expand to the same blob.
func (j *job) group() []*job { return append([]*job{j}, j.also...) }

// layerGroup fetches j and the layers that expand to the same blob, as far as
// that was not done. The error is one that may pass, where there is such a one.
func (r *run) layerGroup(ctx context.Context, j *job) error {
	var first error
	proven := make(map[digest.Digest]digest.Digest)
	for _, one := range j.group() {
		if is, ok := proven[one.layer.Digest]; ok && one.disputed {
			one.err = wrongDiffID(is, one.layer)
			continue
		}
		if !one.done {
			one.err = r.layer(ctx, one)
			one.done = one.err == nil
		}
		if one.done {
			proven[one.layer.Digest] = one.layer.DiffID
		}
		if one.err != nil && (first == nil || temporary(one.err)) {
			first = one.err
		}
	}
	return first
}

// settle notes the images that the layers of j's group failed.
func (r *run) settle(ctx context.Context, j *job) error {
	for _, one := range j.group() {
		for _, ref := range one.refs {
			if err := r.failed(ctx, ref, r.wrapLayer(ctx, one.layer, one.err)); err != nil {
				return err
			}
		}
		r.reached(one, one.layer.Size) // nothing more comes
	}
	return nil
}

func (r *run) wrapLayer(ctx context.Context, l bundle.Layer, err error) error {
	switch {
	case err == nil:
		return nil
	case l.Original && r.hasUnpacked(ctx, l):
		return fmt.Errorf("layer %s: %w, and no registry gave it: %w", l.Digest, ErrNoOriginal, err)
	}
	return fmt.Errorf("layer %s: %w", l.Digest, err)
}

// layer has one layer in the work directory: it was there, or it is fetched
// from the first of the images' repositories that has it. The sync at the end
// holds up nobody else.
func (r *run) layer(ctx context.Context, j *job) error {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.o.Progress.WorkingOn(PhaseDownload, j.layer.Digest.String(), j.title)
	var m *made
	there, err := r.there(ctx, j)
	if !there && err == nil {
		m, err = r.make(ctx, j)
	}
	<-r.slots
	if err != nil || there {
		return err
	}
	defer m.abort()
	if err := m.commit(r.work, j.layer.Digest); err != nil || m.proven {
		return err
	}
	return r.undisputed(ctx, j)
}

// there reports whether the work directory has the layer whole.
func (r *run) there(ctx context.Context, j *job) (bool, error) {
	form := r.formOf(j.layer)
	rec := r.work.Record(j.layer.Digest, j.blob, form)
	if rec == nil {
		return false, nil
	}
	ok, err := r.work.Prove(j.layer.Digest, rec)
	switch {
	case !ok || err != nil || form == bundle.Expanded || r.isRaw(j.layer) || rec.DiffID == j.layer.DiffID:
	case rec.DiffID != "": // an earlier run has seen what it expands to
		return false, wrongDiffID(rec.DiffID, j.layer)
	case form == workdir.Kept || j.disputed:
		err = r.undisputed(ctx, j)
	}
	if ok && err == nil {
		r.fetched.reused.Add(j.layer.Size)
		r.reached(j, j.layer.Size)
	} else if err == nil {
		r.o.Log.Info("kept bytes of a layer were wrong, starting anew", "layer", j.layer.Digest)
	}
	return ok, err
}

// make makes what the bundle needs of a layer.
func (r *run) make(ctx context.Context, j *job) (*made, error) {
	if m, err := r.plainLayer(ctx, j); m != nil || err != nil {
		return m, err
	}
	var m *made
	var err error
	for _, ref := range j.refs {
		fetch := func() error {
			m, err = r.fetchLayer(ctx, ref, j)
			return err
		}
		err = fetch()
		if isAny(err, layout.ErrDigest, layout.ErrSize, pull.ErrSize) && (!r.isRaw(j.layer) || len(slices.Compact(slices.Sorted(slices.Values(j.sizes)))) > 1) {
			// Artifacts have no other size than their manifest's: the one is meant that another says.
			err = r.resize(ctx, ref, j, err, fetch)
		}
		if isWrong(err) {
			r.src.Reject(j.layer.Digest) // another endpoint may have the right bytes
			err = fetch()
		}
		if !errors.Is(err, pull.ErrNotFound) {
			break
		}
	}
	// Only where no registry has it the other addresses are asked.
	if errors.Is(err, pull.ErrNotFound) && r.elsewhere(j) {
		m, err = r.fetchLayer(ctx, j.refs[0], j)
	}
	if err == nil {
		m.record.TrueSize = j.layer.Size // what was read, whatever a manifest says
		r.saySizes(j)
	}
	if errors.Is(err, pull.ErrNotFound) && bundle.IsForeign(j.layer.MediaType) {
		err = fmt.Errorf("%w: %w", bundle.ErrForeignLayer, err)
	}
	return m, err
}

// isAny reports whether err is one of the targets.
func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
}
