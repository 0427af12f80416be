// Package push fills a registry from a bundle: the bytes that the bundle's digests name,
// read and verified once, blob by blob, and never held in memory.
package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/pull"
)

const (
	phaseLook = "look up"
	phasePush = "push"
)

// Source is a bundle: an archive.Reader.
type Source interface {
	Inventory() *bundle.Inventory
	ReadBlob(ctx context.Context, d digest.Digest) ([]byte, error)
	// OpenLayer opens any blob; the reader's io.EOF says that the bytes were right.
	OpenLayer(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
}

// Options say what goes where.
type Options struct {
	Source Source
	Target Target
	// Client reaches the registry. It has pull.Options.Write.
	Client *pull.Client
	// Want chooses images; nil are all.
	Want func(*bundle.Image) bool
	// Recompress makes gzip of layers that are expanded in the bundle. Such images get other digests.
	Recompress bool
	// KeepGoing pushes the other images when one fails.
	KeepGoing bool
	// Jobs is how many images are pushed at once; less than 1 is 1.
	Jobs     int
	Progress progress.Func
}

// Result is what a registry has after a push, or would have.
type Result struct {
	Images []Image
	// Sent are blobs that were sent, Mounted those that the registry took from another of its
	// repositories, There those that it had. A blob counts once for each repository.
	Sent, Mounted, There Amount
	// Loose are signatures that no registry keeps: of releases, and of lookaside servers.
	Loose int
	// MirrorSets are the objects that send the pulls of a cluster to the registry, as YAML: for
	// the sources of what arrived. "" if there are none.
	MirrorSets string
}

// Image is what became of an image.
type Image struct {
	// Ref is the reference in the bundle, Digest the manifest's there.
	Ref    string
	Digest digest.Digest
	// Pushed is the digest of the manifest in the registry.
	Pushed digest.Digest
	// Names are the references in the registry.
	Names []string
	// List is what became of the list that Ref names.
	List *List
	// Attached are the signatures and other referrers that were pushed with it, Unattached
	// those that were not, since they are about another digest than the image has now.
	Attached, Unattached int
	// Err is why it failed.
	Err error
}

// List is what became of the list of an image.
type List struct {
	Digest digest.Digest
	// Missing are the platforms of the list whose images neither the bundle nor the registry has.
	Missing []string
	// Err is why the registry does not have the list.
	Err error
}

// pusher is one run.
type pusher struct {
	o    *Options
	r    *remote
	plan *plan
	out  *Result
	// mu guards what goroutines find out about images.
	mu sync.Mutex
}

// prepare makes the plan and asks the registry what it has.
func prepare(ctx context.Context, o *Options) (*pusher, error) {
	plan, err := newPlanner(o).plan(ctx)
	if err != nil {
		return nil, err
	}
	p := &pusher{o: o, r: newRemote(o.Client, o.Progress), plan: plan, out: &Result{}}
	for _, it := range plan.items {
		img := Image{Ref: it.Ref, Digest: it.Digest, Pushed: it.manifest.digest}
		for i := range it.Attachments {
			if !it.Attachments[i].HasManifest() {
				p.out.Loose++
			}
		}
		p.out.Images = append(p.out.Images, img)
	}
	return p, p.lookUp(ctx)
}

// Run pushes. Images that failed are in the Result if Options.KeepGoing is set; else the first
// failure is the error. If all failed there are both: the error wraps ErrNone. What the registry has is not sent again: a run that was interrupted is
// run again.
func Run(ctx context.Context, o Options) (*Result, error) {
	p, err := prepare(ctx, &o)
	if err != nil {
		return nil, err
	}
	o.Progress.Begin(phasePush, p.r.total, progress.Bytes)
	if err := p.each(ctx, p.image); err != nil {
		return nil, err
	}
	if err := p.lists(ctx); err != nil {
		return nil, err
	}
	if err := p.each(ctx, p.tags); err != nil {
		return nil, err
	}
	o.Progress.End(phasePush)
	p.out.Sent, p.out.Mounted = p.r.sent, p.r.mounted
	if err := p.none(); err != nil {
		return p.out, err
	}
	p.out.MirrorSets, err = p.mirrorSets()
	return p.out, err
}

// none returns an error if every image failed.
func (p *pusher) none() error {
	if slices.ContainsFunc(p.out.Images, func(img Image) bool { return img.Err == nil }) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNone, p.out.Images[0].Err)
}

// each calls do with the images that have not failed.
func (p *pusher) each(ctx context.Context, do func(ctx context.Context, it *item, out *Image) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, p.o.Jobs))
	for i, it := range p.plan.items {
		out := &p.out.Images[i]
		if out.Err != nil {
			continue
		}
		g.Go(func() error {
			err := do(gctx, it, out)
			if err != nil {
				err = fmt.Errorf("pushing %s to %s: %w", it.Ref, p.o.Target, err)
			}
			if err == nil || !p.o.KeepGoing || gctx.Err() != nil || isDamage(err) {
				return err
			}
			out.Err = err
			return nil
		})
	}
	return g.Wait()
}

// isDamage reports that the bundle is at fault.
func isDamage(err error) bool {
	return errors.Is(err, bundle.ErrDamaged) || errors.Is(err, bundle.ErrChain)
}

// image pushes blobs and manifest of an image, and what is attached to it. The manifest comes
// right behind its blobs: registries remove those that no manifest names after a while.
func (p *pusher) image(ctx context.Context, it *item, out *Image) error {
	p.o.Progress.WorkingOn(phasePush, it.Digest.String(), it.Ref)
	for _, pl := range it.places {
		for _, b := range it.blobs {
			if err := p.r.ensure(ctx, pl.repository, b); err != nil {
				return err
			}
		}
		doc, err := p.read(ctx, it.manifest)
		if err != nil {
			return err
		}
		if _, err := p.r.put(ctx, pl.repository, doc, doc.digest.String()); err != nil {
			return err
		}
		out.Names = append(out.Names, pl.repository+"@"+it.manifest.digest.String())
	}
	return p.attachments(ctx, it, out)
}

// read gives a manifest its bytes.
func (p *pusher) read(ctx context.Context, doc document) (document, error) {
	if doc.data != nil {
		return doc, nil
	}
	var err error
	doc.data, err = p.o.Source.ReadBlob(ctx, doc.digest)
	return doc, err
}

// tags gives an image its tags. What a list has the tag of, the list gets; without any tag it
// gets one of its own.
func (p *pusher) tags(ctx context.Context, it *item, out *Image) error {
	for _, pl := range it.places {
		doc, err := p.read(ctx, it.manifest)
		if pl.byList && out.List != nil && out.List.Err == nil {
			doc, err = p.list(ctx, it.Index)
		}
		if err != nil {
			return err
		}
		tags := pl.tags
		if len(tags) == 0 && !pl.kept {
			tags = []string{keepTag(doc.digest)}
		}
		for _, tag := range tags {
			if _, err := p.r.put(ctx, pl.repository, doc, tag); err != nil {
				return err
			}
		}
		for _, tag := range pl.tags {
			out.Names = append(out.Names, pl.repository+":"+tag)
		}
	}
	slices.Sort(out.Names)
	out.Names = slices.Compact(out.Names)
	return nil
}
