package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/opencontainers/go-digest"
)

// Plan is what a store will hold. It is complete but for what only the layers'
// contents can tell (Facts).
type Plan struct {
	// Layers are the layers of the store, parents before their children, in the
	// order of the images. Behind them are those of no image: one for each
	// compressed digest of a content that no other layer has.
	Layers []*Layer
	// Images are the image records, one for each configuration, in the order of
	// their first references.
	Images []*Image
	// References are all names of the images with what each names, sorted.
	References []Reference
	// Attachments are the digests of signatures and other referrers, sorted.
	Attachments []digest.Digest
	// Originals are the layers that are kept as the registry has them, sorted by digest.
	Originals []Original
	// Artifacts are those of the inventory's images that are no container images, sorted by
	// reference.
	Artifacts []Artifact
	// Skipped are the inventory's images that are for other platforms than the
	// node's, where the same reference has one for the node.
	Skipped []bundle.Image
}

// Layer is one layer of a store: contents on top of a parent.
type Layer struct {
	ID string
	// Parent is the layer below, nil for a base layer.
	Parent *Layer
	// Depth is the number of layers below.
	Depth  int
	DiffID digest.Digest
	// DiffSize is the length of the plain tar as the inventory claims it, 0
	// where it does not.
	DiffSize int64
	// Compressed, CompressedSize and MediaType are the manifest's: what the
	// registry serves.
	Compressed     digest.Digest
	CompressedSize int64
	MediaType      string
	// Blob is the digest under which the source has the contents, Table that of
	// their file table, "" where there is none.
	Blob, Table digest.Digest
	// BlobSize is the length of the blob as it is claimed, 0 where it is not.
	BlobSize int64
	// Image is a reference that needs the layer, for messages, and Title that image's name
	// for people.
	Image, Title string
}

// Image is one image record: a configuration with all manifests and names that
// lead to it.
type Image struct {
	ID       string
	Names    []string
	TopLayer *Layer // nil where the image has no layers
	Created  time.Time
	Data     []BigData
	// signatures are in the form in which containers/image keeps them.
	signatures [][]byte
}

// BigData is one data item of an image record. Its bytes are Content, or, where that
// is nil, the blob Digest of the Source.
type BigData struct {
	Key     string
	Digest  digest.Digest
	Size    int64
	Content []byte
}

// Selection says which images of an inventory go into the store.
type Selection struct {
	// Want chooses images; nil takes all.
	Want func(*bundle.Image) bool
	// Architecture is the node's, in Go's words ("amd64"). Where one reference
	// has images for several platforms, this one is taken.
	Architecture string
	// Progress receives the phase "plan", in images; it may be nil.
	Progress progress.Func
}

// phasePlan is the phase of progress that a plan is.
const phasePlan = "plan"

// NewPlan reads and verifies the manifests and configurations of the selected
// images and plans their store. Nothing is believed: the manifest has its
// digest (the Source sees to it), it names the configuration, and the
// configuration's diff_ids and the inventory's layers agree one by one. Errors
// are *Error or *NameConflictError; they wrap ErrDamaged where the inventory or
// a blob is wrong, ErrPrecondition where an image has more layers than overlay
// can stack, or the images more names or layers than a store's records have room for.
func NewPlan(ctx context.Context, src Metadata, sel Selection) (*Plan, error) {
	p := &planner{
		inv:      src.Inventory(),
		plan:     &Plan{},
		layers:   make(map[string]*Layer),
		images:   make(map[string]*Image),
		names:    make(map[string]Reference),
		blobs:    make(map[digest.Digest]bundle.Blob),
		sizes:    make(map[digest.Digest]int64),
		contents: make(map[digest.Digest]digest.Digest), originals: make(map[digest.Digest]Original),
	}
	for _, b := range p.inv.Blobs {
		p.blobs[b.Digest] = b
	}
	p.elsewhere, _ = src.(Elsewhere)
	chosen, skipped, err := choose(p.inv.Images, sel)
	if err != nil {
		return nil, err
	}
	if err := checkNames(chosen); err != nil {
		return nil, err
	}
	p.plan.Skipped = skipped
	sel.Progress.Begin(phasePlan, int64(len(chosen)), progress.Count)
	for _, img := range chosen {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := p.add(ctx, src, img); err != nil {
			return nil, err
		}
		sel.Progress.Add(phasePlan, 1)
	}
	p.finish()
	if err := p.plan.checkLayers(); err != nil {
		return nil, err
	}
	sel.Progress.End(phasePlan)
	return p.plan, nil
}

// Contents returns the layers by their contents: those with the same diff ID together,
// in the order of the plan.
func (p *Plan) Contents() [][]*Layer {
	var out [][]*Layer
	at := make(map[digest.Digest]int)
	for _, l := range p.Layers {
		i, ok := at[l.DiffID]
		if !ok {
			i = len(out)
			at[l.DiffID] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], l)
	}
	return out
}

// choose applies sel to the images.
func choose(images []bundle.Image, sel Selection) (chosen []*bundle.Image, skipped []bundle.Image, err error) {
	groups := make(map[string][]*bundle.Image)
	for i := range images {
		if img := &images[i]; sel.Want == nil || sel.Want(img) {
			groups[img.Ref] = append(groups[img.Ref], img)
		}
	}
	for i := range images {
		img := &images[i]
		group := groups[img.Ref]
		switch {
		case !slices.Contains(group, img):
		case len(group) == 1 || (img.Platform != nil && img.Platform.Architecture == sel.Architecture):
			chosen = append(chosen, img)
		default:
			skipped = append(skipped, *img)
			if !slices.ContainsFunc(group, func(o *bundle.Image) bool {
				return o.Platform != nil && o.Platform.Architecture == sel.Architecture
			}) {
				return nil, nil, &Error{
					Kind: ErrPrecondition, Op: "choosing a platform", Image: img.Ref,
					Err: fmt.Errorf("the bundle has %d platforms of it, none for %s", len(group), sel.Architecture),
				}
			}
		}
	}
	return chosen, skipped, nil
}
