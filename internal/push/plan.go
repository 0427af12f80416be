package push

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
)

// blob is a blob that images need in a registry.
type blob struct {
	digest digest.Digest
	size   int64
	// open gives the bytes, whose reader holds them to the digest; nil if the bundle leaves
	// the blob to its base.
	open func(ctx context.Context) (io.ReadCloser, error)
}

// document is a manifest or list.
type document struct {
	digest    digest.Digest
	mediaType string
	// data is nil until it is read.
	data []byte
	// subject is what a referrer refers to, else ""; annotations are its own.
	subject     digest.Digest
	annotations map[string]string
}

// place is a repository that an image goes into.
type place struct {
	repository string // host[:port]/path
	tags       []string
	// kept says that another image of the same list has the tags.
	kept bool
	// byList says that the image is asked for by the digest of its list there, or by a tag of it.
	byList bool
}

// item is an image to push.
type item struct {
	*bundle.Image
	manifest document
	blobs    []*blob
	// attached are the blobs of each attachment.
	attached [][]*blob
	places   []place
	sources  []source
	// changed says that its layers are recompressed: the manifest is another one.
	changed bool
}

// source is a registry that a reference of an image names.
type source struct {
	registry string
	// tag and list say that the reference is by a tag, or by the digest of the image's list.
	tag, list bool
}

// plan is all that is to be done.
type plan struct{ items []*item }

// planner makes a plan.
type planner struct {
	o     *Options
	inv   *bundle.Inventory
	held  map[digest.Digest]bundle.Blob
	left  map[digest.Digest]bundle.Blob // to the base
	blobs map[digest.Digest]*blob
	// gzipped are expanded layers by diff ID.
	gzipped map[digest.Digest]*blob
}

func newPlanner(o *Options) *planner {
	p := &planner{
		o: o, inv: o.Source.Inventory(), blobs: make(map[digest.Digest]*blob), gzipped: make(map[digest.Digest]*blob),
		held: make(map[digest.Digest]bundle.Blob), left: make(map[digest.Digest]bundle.Blob),
	}
	for _, b := range p.inv.Blobs {
		p.held[b.Digest] = b
	}
	if p.inv.Base != nil {
		for _, b := range p.inv.Base.Blobs {
			p.left[b.Digest] = b
		}
	}
	return p
}

// exact reports whether a layer is in the bundle, or its base, as a registry has it.
func (p *planner) exact(l bundle.Layer) bool { return p.inv.LayerBlob(l) == l.Digest }

// notHere reports whether a layer is expanded and its bytes are left to the base, as a whole
// or but for a delta.
func (p *planner) notHere(l bundle.Layer) bool {
	_, held := p.held[l.DiffID]
	return p.inv.Base != nil && !p.exact(l) && !held
}

// plan proves the images, and says what goes where.
func (p *planner) plan(ctx context.Context) (*plan, error) {
	var wanted []*bundle.Image
	var expanded, left []string
	for i := range p.inv.Images {
		img := &p.inv.Images[i]
		if p.o.Want != nil && !p.o.Want(img) {
			continue
		}
		wanted = append(wanted, img)
		if slices.ContainsFunc(img.Layers, func(l bundle.Layer) bool { return !p.exact(l) }) {
			expanded = append(expanded, img.Ref)
		}
		if slices.ContainsFunc(img.Layers, p.notHere) {
			left = append(left, img.Ref)
		}
	}
	switch {
	case len(wanted) == 0:
		return nil, ErrNothing
	case len(left) > 0: // what they are as gzip cannot be found out
		return nil, &ExpandedError{Images: left, Base: p.inv.Base.Name()}
	case len(expanded) > 0 && !p.o.Recompress:
		return nil, &ExpandedError{Images: expanded}
	}
	for _, img := range wanted {
		if err := store.Prove(ctx, p.o.Source, []bundle.Image{*img}); err != nil {
			return nil, err
		}
	}
	if err := p.compress(ctx, wanted); err != nil {
		return nil, err
	}
	out := &plan{}
	for _, img := range wanted {
		it := &item{Image: img}
		if err := p.places(it); err != nil {
			return nil, err
		}
		if err := p.content(ctx, it); err != nil {
			return nil, fmt.Errorf("%s: %w", img.Ref, err)
		}
		out.items = append(out.items, it)
	}
	return out, checkTags(out.items)
}

// places says where an image goes: each of its names has a repository.
func (p *planner) places(it *item) error {
	for _, ref := range append([]string{it.Ref}, it.Names...) {
		registry, repository, tag, sum, err := p.o.Target.of(ref)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(it.places, func(have place) bool { return have.repository == repository })
		if i < 0 {
			i = len(it.places)
			it.places = append(it.places, place{repository: repository})
		}
		if tag != "" {
			it.places[i].tags = append(it.places[i].tags, tag)
		}
		it.sources = append(it.sources, source{registry: registry, tag: tag != "", list: it.Index != "" && sum == it.Index.String()})
		if it.Index != "" && (tag != "" || sum == it.Index.String()) {
			it.places[i].byList = true
		}
	}
	return nil
}

// content finds the bytes of an image.
func (p *planner) content(ctx context.Context, it *item) (err error) {
	it.manifest = document{digest: it.Digest, mediaType: it.MediaType}
	it.blobs = append(it.blobs, p.blob(it.Config.Digest))
	layers := make(map[int]*blob)
	for i, l := range it.Layers {
		b := p.blob(l.Digest)
		if !p.exact(l) {
			b = p.gzipped[l.DiffID]
			layers[i] = b
		}
		it.blobs = append(it.blobs, b)
	}
	if len(layers) > 0 {
		it.changed = true
		it.manifest, err = p.changedManifest(ctx, it.manifest, layers)
		return err
	}
	for i := range it.Attachments {
		var blobs []*blob
		for _, d := range it.Attachments[i].Blobs {
			blobs = append(blobs, p.blob(d))
		}
		it.attached = append(it.attached, blobs)
	}
	return nil
}

// blob is one that the bundle has as it is, or that is left to its base.
func (p *planner) blob(d digest.Digest) *blob {
	if b := p.blobs[d]; b != nil {
		return b
	}
	b := &blob{digest: d}
	if held, ok := p.held[d]; ok {
		b.size = held.Size
		b.open = func(ctx context.Context) (io.ReadCloser, error) { return p.o.Source.OpenLayer(ctx, d) }
	} else {
		b.size = p.left[d].Size
	}
	p.blobs[d] = b
	return b
}

// checkTags refuses a tag that would be that of two images. Of images of one list the first
// one gives the tags.
func checkTags(items []*item) error {
	type named struct {
		digest digest.Digest
		ref    string
	}
	taken := make(map[string]named)
	for _, it := range items {
		is := named{it.manifest.digest, it.Ref}
		if it.Index != "" && !it.changed {
			is.digest = it.Index
		}
		for i := range it.places {
			pl := &it.places[i]
			var own []string
			for _, tag := range pl.tags {
				name := pl.repository + ":" + tag
				other, ok := taken[name]
				switch {
				case ok && other.digest != is.digest:
					return &TagError{Name: name, First: other.ref, Second: is.ref}
				case ok:
					pl.kept = true
				default:
					taken[name] = is
					own = append(own, tag)
				}
			}
			pl.tags = own
		}
	}
	return nil
}

// keepTag is the tag of what has no other: registries remove what has none.
func keepTag(d digest.Digest) string { return "nodeseal-" + strings.TrimPrefix(d.String(), "sha256:") }
