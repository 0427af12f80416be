package store

import (
	"fmt"

	"github.com/nodeseal/nodeseal/bundle"
)

// maxReferences bounds references.json of a new store, in bytes. The longest inventory with
// few names for each image gives half of it. An import makes the records in memory, beside the
// inventory, and images.json has each name twice: 120,000 long ones took 279 MiB.
const maxReferences = 16 << 20

// maxNames bounds the names of one image. To find an image by one of its names, the storage
// library copies all of them: the check of an import of 41,000 was stopped after a minute of
// processor time.
const maxNames = 10_000

// The least that a name adds to references.json besides itself, and a layer to layers.json.
const (
	referenceBytes = 180
	layerBytes     = 256
)

// checkNames refuses images that have more names than a store has room for, or one more than
// maxNames, before any is planned.
func checkNames(images []*bundle.Image) error {
	names, size := 0, 0
	for _, img := range images {
		names += 1 + len(img.Names)
		size += referenceBytes + len(img.Ref)
		for _, name := range img.Names {
			size += referenceBytes + len(name)
		}
	}
	if size > maxReferences {
		return tooManyRecords(fmt.Errorf("%d names take at least %d bytes, at most %d are written", names, size, maxReferences))
	}
	for _, img := range images {
		if n := 1 + len(img.Names); n > maxNames {
			return &Error{Kind: ErrPrecondition, Op: "making records", Image: img.Ref, Err: fmt.Errorf(
				"it has %d names, at most %d are written: bundle it with fewer tags", n, maxNames)}
		}
	}
	return nil
}

// checkLayers refuses a plan whose layers.json no reader would take, before the layers are read.
func (p *Plan) checkLayers() error {
	if size := len(p.Layers) * layerBytes; size > maxRecords {
		return tooManyRecords(fmt.Errorf("%d layers take at least %d bytes, at most %d are read", len(p.Layers), size, maxRecords))
	}
	return nil
}

// tooManyRecords is the error about images that do not go into one store.
func tooManyRecords(err error) error {
	return &Error{Kind: ErrPrecondition, Op: "making records", Err: fmt.Errorf(
		"the images together have too many layers, names or owners for one store: import them in parts (%w)", err)}
}
