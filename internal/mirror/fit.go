package mirror

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
)

// maxAsked bounds how many layers a source is asked for the size of, because they do not fit.
const maxAsked = 64

// preflight says what the run is going to do, and refuses if there is no room for it. It
// returns the images that are left.
func (r *run) preflight(ctx context.Context, images []bundle.Image) ([]bundle.Image, error) {
	images, p, err := r.fitting(ctx, images)
	if err != nil {
		return nil, err
	}
	if r.o.Planned != nil {
		r.o.Planned(p)
	}
	return images, p.Check()
}

// fitting plans the run. A manifest's word about sizes does not end it: if they do not fit, the
// source is asked for the largest, and what does not fit even alone fails its image. The plan
// may still be one that does not fit, of images that do.
func (r *run) fitting(ctx context.Context, images []bundle.Image) ([]bundle.Image, *plan.Plan, error) {
	p, err := plan.Make(r.planInput(images))
	if err != nil || p.Check() == nil {
		return images, p, err
	}
	if err := r.askSizes(ctx, images); err != nil {
		return nil, nil, err
	}
	if p, err = plan.Make(r.planInput(images)); err != nil || p.Check() == nil || !r.o.KeepGoing {
		return images, p, err
	}
	tooLarge := make(map[int]error)
	for i := range images {
		alone, err := plan.Make(r.planInput(images[i : i+1]))
		if err != nil {
			return nil, nil, err
		}
		if err := alone.Check(); err != nil {
			tooLarge[i] = err
		}
	}
	if len(tooLarge) == len(images) {
		return images, p, nil // it is not the images
	}
	for _, i := range slices.Sorted(maps.Keys(tooLarge)) {
		l := r.largest(&images[i])
		err := fmt.Errorf("layer %s of %d bytes: %w", l.Digest, l.Size, tooLarge[i])
		if err := r.failed(ctx, images[i].Ref, err); err != nil {
			return nil, nil, err
		}
	}
	images = slices.DeleteFunc(images, func(img bundle.Image) bool { return r.failures.has(img.Ref) })
	p, err = plan.Make(r.planInput(images))
	return images, p, err
}

// largest is the largest layer of an image.
func (r *run) largest(img *bundle.Image) bundle.Layer {
	layers := r.withTrueSizes([]bundle.Image{*img})[0].Layers
	if len(layers) == 0 {
		return bundle.Layer{}
	}
	return slices.MaxFunc(layers, func(a, b bundle.Layer) int { return cmp.Compare(a.Size, b.Size) })
}

// askSizes asks the source for the sizes of the largest layers that are missing.
func (r *run) askSizes(ctx context.Context, images []bundle.Image) error {
	jobs := r.jobs(images)
	var all []*job
	for _, j := range jobs {
		all = append(all, j.group()...)
	}
	slices.SortStableFunc(all, func(a, b *job) int { return cmp.Compare(slices.Max(b.sizes), slices.Max(a.sizes)) })
	r.trueSizes = make(map[digest.Digest]int64)
	for _, j := range all[:min(maxAsked, len(all))] {
		if size, ok := r.sizeOf(ctx, j.refs[0], j.layer.Digest); ok {
			r.trueSizes[j.layer.Digest] = size
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// withTrueSizes returns the images with the sizes that the source says, as far as it was asked.
func (r *run) withTrueSizes(images []bundle.Image) []bundle.Image {
	if len(r.trueSizes) == 0 {
		return images
	}
	out := slices.Clone(images)
	for i := range out {
		out[i].Layers = slices.Clone(out[i].Layers)
		for j := range out[i].Layers {
			if size, ok := r.trueSizes[out[i].Layers[j].Digest]; ok {
				out[i].Layers[j].Size = size
			}
		}
	}
	return out
}

// checkClaims refuses an image that says of its layers that they are more than a bundle holds.
func checkClaims(img *bundle.Image) error {
	left := int64(bundle.MaxContent)
	for _, l := range img.Layers {
		if left -= l.Size; left < 0 {
			return fmt.Errorf("its layers, up to %s, have more than the %d bytes that a bundle holds", l.Digest, int64(bundle.MaxContent))
		}
	}
	return nil
}
