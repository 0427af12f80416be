package mirror

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/mirror/workdir"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/layout"
)

// resolveAll resolves every entry of list to images whose manifests, lists and
// configurations lie in the work directory. The images are sorted and have no
// duplicates; those that failed are in r.failures.
func (r *run) resolveAll(ctx context.Context, list *imagelist.List) ([]bundle.Image, error) {
	entries := list.Entries()
	found := make([][]bundle.Image, len(entries))
	err := r.each(ctx, PhaseResolve, len(entries), func(i int) string { return entries[i].Ref }, func(ctx context.Context, i int) (err error) {
		found[i], err = r.resolve(ctx, entries[i])
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	return r.proven(ctx, mergeImages(slices.Concat(found...)))
}

// proven returns those of the images that are proven by what the work directory holds,
// from the reference to the diff IDs: nothing that a registry answered is believed, nor
// what this program made of it.
func (r *run) proven(ctx context.Context, images []bundle.Image) ([]bundle.Image, error) {
	out := images[:0]
	for _, img := range images {
		err := checkClaims(&img)
		if err == nil {
			_, err = img.Prove(r.work.Small)
		}
		if err == nil {
			out = append(out, img)
		} else if err := r.failed(ctx, img.Ref, err); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// each is a phase of n references: do takes one of r.slots, and its error fails the
// reference. settle, where it is not nil, is asked before that, when do is not tried
// again: its error counts then.
func (r *run) each(ctx context.Context, phase string, n int, ref func(i int) string, do func(ctx context.Context, i int) error, settle func(i int, err error) error) error {
	r.o.Progress.Begin(phase, int64(n), progress.Count)
	err := r.twice(ctx, n, func(ctx context.Context, i int) error {
		select {
		case r.slots <- struct{}{}:
			defer func() { <-r.slots }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		r.o.Progress.Working(phase, ref(i))
		return do(ctx, i)
	}, func(ctx context.Context, i int, err error) error {
		r.o.Progress.Add(phase, 1)
		if settle != nil && err != nil && ctx.Err() == nil {
			err = settle(i, err)
		}
		return r.failed(ctx, ref(i), err)
	})
	if err == nil {
		r.o.Progress.End(phase)
	}
	return err
}

// failed decides what an image's error means for the run: with KeepGoing it is
// noted and nil is returned. The end of ctx always ends the run.
func (r *run) failed(ctx context.Context, ref string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case r.o.KeepGoing && !r.isLocal(err):
		r.failures.add(ref, err)
		r.o.Progress.Warn(fmt.Sprintf("image %s is left out: %v", ref, err))
		return nil
	}
	return &ImageError{Ref: ref, Err: err}
}

// isLocal reports that the disk of the work directory is at fault: no other image would
// fare better. A file of the source (a store, certificates of a registry) is the image's.
func (r *run) isLocal(err error) bool { return r.work.Caused(err) }

// resolve fetches what e names: one image, or an image for each platform.
func (r *run) resolve(ctx context.Context, e imagelist.Entry) ([]bundle.Image, error) {
	m, err := r.src.Manifest(ctx, e.Ref)
	if err != nil {
		return nil, err
	}
	name, asked := imagelist.Split(e.Ref)
	repo := imagelist.Repository(name)
	names := slices.Clone(e.Names)
	if asked == "" {
		names = append(names, e.Ref)
	}
	ref := repo + "@" + m.Digest.String()
	if !bundle.IsIndex(m.MediaType) {
		img, err := r.image(ctx, ref, m.Bytes, m.MediaType)
		if err != nil {
			return nil, err
		}
		img.Ref, img.Names, img.Role, img.From = ref, names, cmp.Or(e.Role, img.Role), e.From
		return []bundle.Image{img}, nil
	}
	if err := r.work.PutSmall(m.Digest, m.Bytes); err != nil {
		return nil, err
	}
	platforms := e.Platforms
	if len(platforms) == 0 {
		platforms = r.o.Platforms
	}
	images, err := r.instances(ctx, repo, m, platforms)
	if err != nil {
		return nil, fmt.Errorf("manifest list %s: %w", m.Digest, err)
	}
	for i := range images {
		img := &images[i]
		img.Role, img.From = cmp.Or(e.Role, img.Role), e.From
		if img.Index != "" {
			img.Ref, img.Names = ref, append(slices.Clone(names), img.Ref)
		}
	}
	return images, nil
}

// image describes the image of a manifest whose configuration it fetches. Both
// are in the work directory then.
func (r *run) image(ctx context.Context, ref string, manifest []byte, mediaType string) (bundle.Image, error) {
	if bundle.IsArtifact(manifest, mediaType) {
		return r.artifact(ctx, ref, manifest, mediaType)
	}
	desc, err := bundle.ManifestConfig(manifest, mediaType)
	if err != nil {
		return bundle.Image{}, err
	}
	config, err := r.fetchSmall(ctx, ref, desc.Digest, desc.Size)
	if err != nil {
		return bundle.Image{}, fmt.Errorf("configuration: %w", err)
	}
	img, err := bundle.DescribeImage(manifest, mediaType, config)
	if err != nil {
		return bundle.Image{}, err
	}
	img.Role = roleOf(config)
	return img, r.work.PutSmall(img.Digest, manifest)
}

// fetchSmall returns a small blob, verified: the one that the work directory
// has, or the source's, which is then kept.
func (r *run) fetchSmall(ctx context.Context, ref string, d digest.Digest, size int64) (data []byte, err error) {
	if data, err := r.work.Small(d); err == nil {
		return data, nil
	}
	err = r.retryWrong(d, func() error {
		body, err := r.src.Blob(ctx, ref, d, size, 0)
		if err != nil {
			return err
		}
		data, err = workdir.ReadSmall(body, d, size)
		return firstError(err, body.Close())
	})
	if err != nil {
		return nil, err
	}
	return data, r.work.PutSmall(d, data)
}

// mergeImages joins images of the same reference and manifest, and leaves each
// further name with one image of a platform: the first by reference that was
// asked for by it.
func mergeImages(images []bundle.Image) []bundle.Image {
	type key struct {
		ref    string
		digest digest.Digest
	}
	merged := make(map[key]*bundle.Image)
	var order []key
	for _, img := range images {
		k := key{img.Ref, img.Digest}
		have, ok := merged[k]
		if !ok {
			have = &img
			merged[k] = have
			order = append(order, k)
			continue
		}
		have.Names = append(have.Names, img.Names...)
		if have.Role == "" {
			have.Role = img.Role
		}
		for _, o := range img.From {
			if !slices.Contains(have.From, o) {
				have.From = append(have.From, o)
			}
		}
	}
	slices.SortFunc(order, func(a, b key) int {
		if c := strings.Compare(a.ref, b.ref); c != 0 {
			return c
		}
		return strings.Compare(a.digest.String(), b.digest.String())
	})
	out := make([]bundle.Image, len(order))
	taken := make(map[string]bool) // platform and name
	for i, k := range order {
		out[i] = *merged[k]
		taken[platformKey(&out[i])+out[i].Ref] = true
	}
	for i := range out {
		img := &out[i]
		slices.Sort(img.Names)
		img.Names = slices.DeleteFunc(slices.Compact(img.Names), func(name string) bool {
			k := platformKey(img) + name
			used := taken[k]
			taken[k] = true
			return used
		})
	}
	return out
}

func platformKey(img *bundle.Image) string {
	if img.Platform == nil {
		return " " // an artifact's
	}
	return img.Platform.OS + "/" + img.Platform.Architecture + "/" + img.Platform.Variant + " "
}

// firstError returns a where it is an error, else b.
func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// retryWrong runs fetch again, once, when the source gave other bytes than d
// names: another endpoint may have the right ones.
func (r *run) retryWrong(d digest.Digest, fetch func() error) error {
	err := fetch()
	if isWrong(err) {
		r.src.Reject(d)
		err = fetch()
	}
	return err
}

func isWrong(err error) bool {
	return isAny(err, layout.ErrDigest, layout.ErrSize)
}
