package mirror

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/compression"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
	"github.com/nodeseal/nodeseal/internal/mirror/sample"
	"github.com/nodeseal/nodeseal/internal/mirror/workdir"
	"github.com/nodeseal/nodeseal/internal/pull"
)

// Estimate resolves every entry of list, and says what Run would do with the same
// arguments. It fetches manifests, configurations and the beginnings of a few layers to
// measure; now is the clock. Nothing of it is kept, and the work directory is not changed.
func Estimate(ctx context.Context, list *imagelist.List, src Source, o Options, now func() time.Time) (*Estimated, error) {
	r, err := newRun(src, o, workdir.Look)
	if err != nil {
		return nil, err
	}
	defer r.work.Close()
	images, err := r.known(ctx, list)
	if err != nil {
		return nil, err
	}
	images, _, err = r.fitting(ctx, images)
	if err != nil {
		return nil, err
	}
	in := r.planInput(images)
	in.Measured, err = r.sample(ctx, images, now)
	switch {
	case err != nil && ctx.Err() == nil && r.o.KeepGoing:
		r.o.Progress.Warn(fmt.Sprintf("nothing was measured: %v", err)) // the image may fail, the others not
	case err != nil:
		return nil, err
	}
	p, err := plan.Make(in)
	return &Estimated{Plan: p, Attached: r.attached, Failed: r.failures.sorted()}, err
}

// Estimated is what Estimate found. Failed and Attached are as in Result.
type Estimated struct {
	Plan     *plan.Plan
	Attached Attached
	Failed   []*ImageError
}

func (r *run) planInput(images []bundle.Image) plan.Input {
	return plan.Input{
		Images: r.withTrueSizes(images), Form: r.o.Layers, Level: r.o.Level, Jobs: r.o.Jobs, Encoders: r.o.Encoders,
		Work: r.o.Work, Output: r.o.Output, State: r.layerState, NodeDisk: r.o.NodeDisk, Deltas: r.tells(),
		Attachments: r.attached.Count, AttachmentBytes: r.attached.Bytes,
	}
}

// layerState is what the base and the work directory have of a layer.
func (r *run) layerState(l bundle.Layer) plan.State {
	blob := r.blobOf(l)
	if b, ok := r.since.proven(l, blob, r.isRaw(l)); ok {
		s := plan.State{Based: true}
		if blob == l.DiffID && !r.isRaw(l) {
			s.Plain = b.Size
		}
		return s
	}
	rec := r.work.Record(l.Digest, blob, r.formOf(l))
	if rec == nil {
		return plan.State{Kept: r.work.Kept(l.Digest)}
	}
	return plan.State{Done: true, Frames: rec.DiskSize(), Plain: rec.PlainSize()}
}

// samples is how many layers are sampled.
const samples = 4

// sample measures on some of the layers that have to be fetched; nil where
// there are none.
func (r *run) sample(ctx context.Context, images []bundle.Image, now func() time.Time) (*sample.Result, error) {
	jobs := slices.DeleteFunc(r.jobs(images), func(j *job) bool {
		return r.raw[j.layer.Digest] || r.work.Record(j.layer.Digest, j.blob, r.formOf(j.layer)) != nil
	})
	if len(jobs) == 0 {
		return nil, nil
	}
	var layers []sample.Layer
	for i := range min(samples, len(jobs)) {
		// The largest ones decide, but not they alone.
		j := jobs[i*(len(jobs)-1)/(2*samples)]
		layers = append(layers, func(ctx context.Context) (io.ReadCloser, func() int64, error) { return r.openSample(ctx, j) })
	}
	return sample.Take(ctx, layers, now)
}

// openSample opens the plain bytes of a layer.
func (r *run) openSample(ctx context.Context, j *job) (io.ReadCloser, func() int64, error) {
	body, err := r.openBlob(ctx, j.refs[0], j, 0)
	if errors.Is(err, pull.ErrNotFound) && r.elsewhere(j) {
		body, err = r.openBlob(ctx, j.refs[0], j, 0)
	}
	if err != nil {
		return nil, nil, err
	}
	var n int64
	in := bufio.NewReaderSize(&countingReader{r: body, count: func(more int64) { n += more }}, copyBuffer)
	plain, err := compression.NewReader(ctx, in)
	if err != nil {
		return nil, nil, errors.Join(err, body.Close())
	}
	return &sampleReader{plain, body}, func() int64 { return n - int64(in.Buffered()) }, nil
}

// sampleReader is the plain bytes of a layer that come from body.
type sampleReader struct {
	*compression.Reader
	body io.Closer
}

// Close implements io.Closer.
func (s *sampleReader) Close() error { return errors.Join(s.Reader.Close(), s.body.Close()) }

// newRun opens the work directory for a run. The caller closes it.
func newRun(src Source, o Options, open func(root, encoder string) (*workdir.Dir, error)) (*run, error) {
	o = o.withDefaults()
	if o.Policy != nil && o.Attachments == nil {
		return nil, errors.New("a policy is given, and no source of the signatures that it is about")
	}
	since, err := newSince(o.Since, o.Layers)
	if err != nil {
		return nil, err
	}
	enc, err := seekable.NewEncoder(o.Level, o.Encoders)
	if err != nil {
		return nil, err
	}
	work, err := open(o.Work, enc.Name())
	if err != nil {
		return nil, err
	}
	return &run{o: o, src: src, work: work, enc: enc, since: since, slots: make(chan struct{}, o.Jobs)}, nil
}

// isRaw reports whether only artifacts have the layer.
func (r *run) isRaw(l bundle.Layer) bool { return r.raw[l.Digest] }

// blobOf is the digest under which the bundle holds a layer.
func (r *run) blobOf(l bundle.Layer) digest.Digest { return blobOf(l, r.formOf(l)) }

func blobOf(l bundle.Layer, form bundle.LayerForm) digest.Digest {
	if form == bundle.Expanded {
		return l.DiffID
	}
	return l.Digest
}

// formOf is as what the work directory has a layer.
func (r *run) formOf(l bundle.Layer) bundle.LayerForm {
	if r.isRaw(l) {
		return bundle.Original
	}
	return formOf(l, r.o.Layers)
}

func formOf(l bundle.Layer, of bundle.LayerForm) bundle.LayerForm {
	if of == bundle.Expanded && l.Original {
		return workdir.Kept
	}
	return of
}
