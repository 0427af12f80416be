package result

import (
	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Originals are the layers that are kept as their registry has them, each counted once.
type Originals struct {
	// Images is how many images have them; 0 where that is not said.
	Images int   `json:"images,omitempty"`
	Layers int   `json:"layers"`
	Bytes  int64 `json:"bytes"`
}

// NewOriginals counts those of an inventory; nil if there are none.
func NewOriginals(inv *bundle.Inventory) *Originals {
	o := new(Originals)
	for _, kept := range store.Originals(inv.Images) {
		o.Layers++
		o.Bytes += kept.Size
	}
	for i := range inv.Images {
		if inv.Images[i].Original {
			o.Images++
		}
	}
	return o.orNil()
}

// countedOriginals are some that were counted.
func countedOriginals(layers int, bytes int64) *Originals {
	return (&Originals{Layers: layers, Bytes: bytes}).orNil()
}

func (o *Originals) orNil() *Originals {
	if o.Images == 0 && o.Layers == 0 {
		return nil
	}
	return o
}

// Line shows them to people, if there are some.
func (o *Originals) Line(line func(format string, args ...any)) {
	switch {
	case o == nil:
	case o.Images > 0:
		line("%s with %s kept as a registry has them, %s", Plural(o.Images, "image"), Plural(o.Layers, "layer"), ui.Bytes(o.Bytes))
	default:
		line("%s kept as a registry has them, %s", Plural(o.Layers, "layer"), ui.Bytes(o.Bytes))
	}
}
