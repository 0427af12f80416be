package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/storage"
)

// planner builds a Plan, image by image.
type planner struct {
	inv    *bundle.Inventory
	plan   *Plan
	layers map[string]*Layer    // by ID
	images map[string]*Image    // by ID
	names  map[string]Reference // by name
	blobs  map[digest.Digest]bundle.Blob
	sizes  map[digest.Digest]int64 // claimed lengths of plain tars, by diff ID
	claims []claim                 // in the order of the images
	// contents are the diff IDs that digests of layers, compressed or not, are claimed for.
	contents map[digest.Digest]digest.Digest
	// originals are the layers that are kept as the registry has them.
	originals map[digest.Digest]Original
	// signatures is how many bytes of them stand in records.
	signatures int
	// elsewhere is nil where the inventory says where the layers are.
	elsewhere Elsewhere
}

// add proves one image and adds it to the plan.
func (p *planner) add(ctx context.Context, src Metadata, img *bundle.Image) error {
	proof, err := ProveImage(ctx, src, img)
	if err != nil {
		return err
	}
	if img.Artifact {
		return p.addArtifact(ctx, src, img, proof.Manifest)
	}
	created, err := createdAt(proof.Config)
	if err != nil {
		return damaged("reading configuration", img.Config.Digest, img, err)
	}
	top, err := p.addLayers(img)
	if err == nil {
		err = p.addOriginals(img)
	}
	if err != nil {
		return err
	}
	id := img.Config.Digest.Encoded()
	rec := p.images[id]
	if rec == nil {
		rec = &Image{ID: id, TopLayer: top, Created: created}
		p.images[id] = rec
		p.plan.Images = append(p.plan.Images, rec)
	}
	rec.setData(img.Config.Digest.String(), img.Config.Digest, len(proof.Config))
	if img.Index != "" {
		rec.setData(manifestKey(img.Index), img.Index, len(proof.Index))
	}
	rec.setData(manifestKey(img.Digest), img.Digest, len(proof.Manifest))
	rec.setData(storage.ImageDigestBigDataKey, img.Digest, len(proof.Manifest))
	if err := p.addAttachments(ctx, src, rec, img); err != nil {
		return err
	}
	return p.addNames(rec, img)
}

// addAttachments adds what is attached to img, as far as its manifests are whole.
func (p *planner) addAttachments(ctx context.Context, src Metadata, rec *Image, img *bundle.Image) error {
	for i := range img.Attachments {
		a := &img.Attachments[i]
		data, err := ProveAttachment(ctx, src, img, a)
		if err != nil {
			return err
		}
		if err := p.addSignatures(ctx, src, rec, img, a, data); err != nil {
			return err
		}
		p.plan.Attachments = append(append(p.plan.Attachments, a.Digest), a.Blobs...)
	}
	return nil
}

// addLayers adds the layers of img that are new, and returns its topmost one.
func (p *planner) addLayers(img *bundle.Image) (*Layer, error) {
	if len(img.Layers) > MaxDepth {
		return nil, &Error{
			Kind: ErrPrecondition, Op: "planning image", Image: img.Ref,
			Err: fmt.Errorf("it has %d layers, overlay can stack %d", len(img.Layers), MaxDepth),
		}
	}
	var top *Layer
	for _, l := range img.Layers {
		if size, ok := p.sizes[l.DiffID]; ok && size != l.DiffSize {
			return nil, damaged("reading inventory", l.DiffID, img,
				fmt.Errorf("the layer has two sizes, %d and %d", size, l.DiffSize))
		}
		p.sizes[l.DiffID] = l.DiffSize
		if err := p.addClaim(l, img); err != nil {
			return nil, err
		}
		parent := ""
		if top != nil {
			parent = top.ID
		}
		id := LayerID(parent, l.DiffID)
		layer := p.layers[id]
		if layer == nil {
			at := p.locate(l)
			layer = &Layer{
				ID: id, Parent: top, DiffID: l.DiffID, DiffSize: l.DiffSize,
				Compressed: l.Digest, CompressedSize: l.RegistrySize(), MediaType: l.MediaType,
				Blob: at.Blob, Table: at.Table, BlobSize: at.Size, Image: img.Ref, Title: imagelist.Title(img.Ref, img.From),
			}
			if top != nil {
				layer.Depth = top.Depth + 1
			}
			p.layers[id] = layer
			p.plan.Layers = append(p.plan.Layers, layer)
		}
		top = layer
	}
	return top, nil
}

// locate says where the source has the contents of l.
func (p *planner) locate(l bundle.Layer) Location {
	if p.elsewhere != nil {
		if at, ok := p.elsewhere.Locate(l); ok {
			return at
		}
	}
	b := p.blobs[p.inv.LayerBlob(l)]
	return Location{Blob: p.inv.LayerBlob(l), Table: b.Table, Size: b.Size}
}

// addNames gives the names of img to its record.
func (p *planner) addNames(rec *Image, img *bundle.Image) error {
	for _, name := range append([]string{img.Ref}, img.Names...) {
		named, err := reference.ParseNamed(name)
		if err != nil {
			return damaged("reading inventory", "", img, fmt.Errorf("name %q: %w", name, err))
		}
		ref := Reference{Name: named.String(), Digest: img.Named(name), ImageID: rec.ID}
		old, taken := p.names[ref.Name]
		switch {
		case taken && old.ImageID != rec.ID:
			return &NameConflictError{Name: ref.Name, Images: [2]string{old.ImageID, rec.ID}}
		case taken && old.Digest != ref.Digest:
			return damaged("reading inventory", "", img,
				fmt.Errorf("name %q is of two manifests, %s and %s", name, old.Digest, ref.Digest))
		case !taken:
			p.names[ref.Name] = ref
			rec.Names = append(rec.Names, ref.Name)
		}
	}
	return nil
}

// finish adds what only all images together tell, and brings what was collected
// into order.
func (p *planner) finish() {
	p.addDigestLayers()
	for _, img := range p.plan.Images {
		slices.Sort(img.Names)
		img.finishSignatures()
	}
	for _, name := range slices.Sorted(maps.Keys(p.names)) {
		p.plan.References = append(p.plan.References, p.names[name])
	}
	p.plan.Originals = sortedOriginals(p.originals)
	slices.Sort(p.plan.Attachments)
	p.plan.Attachments = slices.Compact(p.plan.Attachments)
}

// setData adds a data item, or replaces the one with the same key.
func (img *Image) setData(key string, d digest.Digest, size int) {
	item := BigData{Key: key, Digest: d, Size: int64(size)}
	i := slices.IndexFunc(img.Data, func(b BigData) bool { return b.Key == key })
	if i >= 0 {
		img.Data[i] = item
		return
	}
	img.Data = append(img.Data, item)
}

// readBlob reads a small blob of img.
func readBlob(ctx context.Context, src Metadata, op string, d digest.Digest, img *bundle.Image) ([]byte, error) {
	data, err := src.ReadBlob(ctx, d)
	if err != nil {
		kind := error(nil)
		if errors.Is(err, bundle.ErrDamaged) || errors.Is(err, bundle.ErrNoBlob) {
			kind = ErrDamaged
		}
		return nil, &Error{Kind: kind, Op: op, Image: img.Ref, Digest: d, Err: err}
	}
	return data, nil
}

// damaged is an *Error about content of img.
func damaged(op string, d digest.Digest, img *bundle.Image, err error) error {
	return &Error{Kind: ErrDamaged, Op: op, Image: img.Ref, Digest: d, Err: err}
}
