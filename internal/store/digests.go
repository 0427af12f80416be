package store

import (
	"fmt"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/opencontainers/go-digest"
)

// A layer record has room for one compressed digest. A content that manifests
// name by several of them gets further records, so that a pull by each finds the
// content in the store, and asks no registry for it: see
// docs/adr/0004-a-record-for-each-compressed-digest.md.

// digestLayerID returns the ID of the further record of the content diffID for
// its compressed digest. It is no LayerID of any content: what it is the hash of
// is neither a tar nor two hashes.
func digestLayerID(diffID, compressed digest.Digest) string {
	return digest.FromString("nodeseal layer " + diffID.String() + " compressed " + compressed.String()).Encoded()
}

// claim is a compressed digest that a manifest gives a content.
type claim struct {
	layer bundle.Layer
	image string // a reference with that manifest
}

// addClaim notes the compressed digest of l. Readers look for the diff ID
// itself too: a layer that is not compressed needs no record for it.
//
// Nobody proves that a compressed digest is of a content where the bundle has only
// the content. But it is of one: where two are claimed for it, a pull of the one
// image would find what the other image says.
func (p *planner) addClaim(l bundle.Layer, img *bundle.Image) error {
	for _, d := range []digest.Digest{l.DiffID, l.Digest} {
		old, claimed := p.contents[d]
		if claimed && old != l.DiffID {
			return damaged("reading inventory", d, img, fmt.Errorf("one digest is claimed for two contents, %s and %s", old, l.DiffID))
		}
		p.contents[d] = l.DiffID
	}
	if l.Digest != l.DiffID {
		p.claims = append(p.claims, claim{layer: l, image: img.Ref})
	}
	return nil
}

// addDigestLayers adds a layer that no image has for each compressed digest of a
// content that no layer records yet. It lies where the first layer with that
// content does, so that whiteouts in it have something to hide, as everywhere.
func (p *planner) addDigestLayers() {
	type pair struct{ diffID, compressed digest.Digest }
	recorded := make(map[pair]bool)
	first := make(map[digest.Digest]*Layer) // by diff ID
	for _, l := range p.plan.Layers {
		recorded[pair{l.DiffID, l.Compressed}] = true
		if first[l.DiffID] == nil {
			first[l.DiffID] = l
		}
	}
	for _, c := range p.claims {
		key := pair{c.layer.DiffID, c.layer.Digest}
		if recorded[key] {
			continue
		}
		recorded[key] = true
		twin := *first[c.layer.DiffID]
		twin.ID, twin.Image = digestLayerID(c.layer.DiffID, c.layer.Digest), c.image
		twin.Compressed, twin.CompressedSize, twin.MediaType = c.layer.Digest, c.layer.RegistrySize(), c.layer.MediaType
		p.plan.Layers = append(p.plan.Layers, &twin)
	}
}
