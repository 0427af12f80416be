package push

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nodeseal/nodeseal/internal/progress"
)

// need is a blob in a repository.
type need struct {
	repository string
	*blob
}

// all are the blobs of an image, and of what is attached to it.
func (it *item) all() []*blob { return append(slices.Clip(it.blobs), slices.Concat(it.attached...)...) }

// needs are the blobs that the images need, each once for a repository, and the numbers of
// the images.
func (p *pusher) needs() (all []need, of map[need][]int) {
	of = make(map[need][]int)
	for i, it := range p.plan.items {
		for _, pl := range it.places {
			for _, b := range it.all() {
				n := need{pl.repository, b}
				if of[n] == nil {
					all = append(all, n)
				}
				of[n] = append(of[n], i)
			}
		}
	}
	return all, of
}

// lookUp asks which blobs are there.
func (p *pusher) lookUp(ctx context.Context) error {
	all, of := p.needs()
	there, errs, err := p.ask(ctx, all, of)
	if err != nil {
		return err
	}
	unknown := make(map[digest.Digest]error) // why it is not known where a blob is
	for i, n := range all {
		if errs[i] != nil {
			unknown[n.digest] = errs[i]
		}
	}
	counted := make(map[digest.Digest]bool)
	var left []string
	for i, n := range all {
		elsewhere := len(p.r.state(n.digest).in) > 0
		switch {
		case errs[i] != nil:
		case there[i]:
			p.out.There.add(n.size)
		case n.open == nil && !elsewhere && unknown[n.digest] != nil:
			p.fail(of[n], unknown[n.digest]) // a repository that could not be asked may have it
		case n.open == nil && !elsewhere:
			for _, at := range of[n] {
				left = append(left, p.plan.items[at].Ref)
			}
		case !elsewhere && !counted[n.digest]:
			counted[n.digest] = true
			p.r.total += n.size
		}
	}
	if len(left) > 0 {
		slices.Sort(left)
		base := "another bundle"
		if b := p.o.Source.Inventory().Base; b != nil {
			base = b.Name()
		}
		return &BaseError{Base: base, Registry: p.o.Target, Images: slices.Compact(left)}
	}
	return nil
}

// ask asks for each blob. If Options.KeepGoing is set, an answer that did not come is in errs
// and is the failure of the images that need the blob: what no other image needs is not asked.
func (p *pusher) ask(ctx context.Context, all []need, of map[need][]int) (there []bool, errs []error, err error) {
	report := p.o.Progress
	report.Begin(phaseLook, int64(len(all)), progress.Count)
	there, errs = make([]bool, len(all)), make([]error, len(all))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, p.o.Jobs))
	for i, n := range all {
		g.Go(func() (err error) {
			defer report.Add(phaseLook, 1)
			if errs[i] = p.failed(of[n]); errs[i] != nil {
				return nil
			}
			if there[i], err = p.r.look(gctx, n.repository, n.blob); err == nil {
				return nil
			}
			err = fmt.Errorf("asking %s what it has: %w", p.o.Target, err)
			if !p.o.KeepGoing || gctx.Err() != nil {
				return err
			}
			errs[i] = err
			p.fail(of[n], err)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	report.End(phaseLook)
	return there, errs, nil
}

// fail makes err the failure of images that have none yet.
func (p *pusher) fail(images []int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range images {
		if out := &p.out.Images[at]; out.Err == nil {
			out.Err = err
		}
	}
}

// failed returns why the first of images failed, nil if one did not.
func (p *pusher) failed(images []int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range images {
		if p.out.Images[at].Err == nil {
			return nil
		}
	}
	return p.out.Images[images[0]].Err
}
