package build

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// Job is one content, and the layers that have it.
type Job struct {
	// Number is the place among the jobs, which have the order of the plan.
	Number int
	// Layers have this content.
	Layers []*store.Layer
	// Size is the length of the blob.
	Size int64
	// Done is what the content told; nil until it is written and proven.
	Done *extract.Result
	// TakenOver says that an earlier run had written it, Taken that it is from
	// another store.
	TakenOver, Taken bool
}

// First is the layer to which the content is written; the others get it from there.
func (j *Job) First() *store.Layer { return j.Layers[0] }

// Error places an error about the content of j: op is what was being done with it.
func (j *Job) Error(op string, err error) error {
	l := j.First()
	return &store.Error{Kind: blob.Kind(err), Op: op, Image: l.Image, Digest: l.DiffID, Err: err}
}

func newJobs(p *store.Plan) []*Job {
	var jobs []*Job
	for i, layers := range p.Contents() {
		jobs = append(jobs, &Job{Number: i, Layers: layers, Size: layers[0].BlobSize})
	}
	return jobs
}

// layers has the contents written that are not yet.
func (r *run) layers(ctx context.Context) error {
	todo := slices.DeleteFunc(slices.Clone(r.jobs), func(j *Job) bool { return j.Done != nil })
	if err := Each(ctx, todo, r.opts, r.w.NewWorker); err != nil {
		return err
	}
	r.opts.Progress.End(PhaseImport)
	if n := r.counts().Squashed; n > 0 {
		r.opts.Progress.Warn(fmt.Sprintf("%d files have owners that this user namespace does not know; they belong to its root now", n))
	}
	return nil
}

// Each does jobs in parallel, the largest first, with a worker for each of o.Jobs. The
// first error ends all of them. It begins the phase "import", and does not end it.
func Each(ctx context.Context, jobs []*Job, o store.ImportOptions, newWorker func() Worker) error {
	var total int64
	for _, j := range jobs {
		total += j.Size
	}
	jobs = slices.SortedStableFunc(slices.Values(jobs), func(a, b *Job) int { return cmp.Compare(b.Size, a.Size) })
	o.Progress.Begin(PhaseImport, total, progress.Bytes)
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(o.Jobs, len(jobs)) {
		g.Go(func() error {
			w := newWorker()
			for {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return w.Flush()
				}
				o.Progress.WorkingOn(PhaseImport, jobs[i].First().DiffID.String(), jobs[i].First().Title)
				if err := w.Layer(ctx, jobs[i]); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// counts sums up what was done. Linked is the writer's to say.
func (r *run) counts() *store.Counts {
	c := &store.Counts{
		Images: len(r.plan.Images), References: len(r.plan.References), Layers: len(r.plan.Layers), Skipped: r.plan.Skipped,
		Artifacts: len(r.plan.Artifacts), UnreadableArtifacts: r.plan.UnreadableArtifacts(),
	}
	for _, o := range r.plan.Originals {
		c.Originals++
		c.OriginalBytes += o.Size
	}
	for _, j := range r.jobs {
		c.Files += j.Done.Files
		c.Bytes += j.Done.DiffSize
		c.Squashed += j.Done.Squashed
		switch {
		case j.TakenOver:
			c.TakenOver++
		case j.Taken:
			c.Taken++
		default:
			c.Extracted++
		}
	}
	return c
}

// facts are what the contents told, by diff ID.
func facts(jobs []*Job) map[digest.Digest]store.Facts {
	out := make(map[digest.Digest]store.Facts, len(jobs))
	for _, j := range jobs {
		out[j.First().DiffID] = store.Facts{DiffSize: j.Done.DiffSize, UIDs: j.Done.UIDs, GIDs: j.Done.GIDs}
	}
	return out
}

// roots are the attributes of the root directory of every layer: the tar's, else those
// of the layer below, at the very bottom the library's default.
func roots(p *store.Plan, jobs []*Job) Roots {
	own := make(map[digest.Digest]*extract.Root, len(jobs))
	for _, j := range jobs {
		own[j.First().DiffID] = j.Done.Root
	}
	out := make(Roots, len(p.Layers))
	for _, l := range p.Layers { // parents come first
		switch below, ok := out[l.Parent]; {
		case own[l.DiffID] != nil:
			out[l] = *own[l.DiffID]
		case ok:
			out[l] = extract.Inherited(&below)
		default:
			out[l] = extract.Inherited(nil)
		}
	}
	return out
}
