package result

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Base is what is left to a base. Bytes are those of the layers as a bundle
// holds them, before its compression.
type Base struct {
	Inventory digest.Digest `json:"inventory"`
	Release   string        `json:"release,omitempty"`
	Layers    int           `json:"layers"`
	Bytes     int64         `json:"bytes"`
	// Deltas is how many of the layers the bundle has as deltas, DeltaBytes the size of these.
	Deltas     int   `json:"deltas,omitempty"`
	DeltaBytes int64 `json:"deltaBytes,omitempty"`

	name string
}

// NewBase describes the base of a bundle, nil where it has none.
func NewBase(inv *bundle.Inventory) *Base {
	if inv.Base == nil {
		return nil
	}
	out := &Base{Inventory: inv.Base.Inventory, name: inv.Base.Name()}
	if r := inv.Base.Release; r != nil {
		out.Release = r.Version
	}
	out.Layers, out.Bytes = inv.Base.Layers()
	out.Deltas = len(inv.Base.Deltas)
	for _, b := range inv.Blobs {
		if b.Kind == bundle.KindDelta {
			out.DeltaBytes += b.Size
		}
	}
	return out
}

// Line shows it in one line; a nil one is not shown.
func (b *Base) Line(line func(format string, args ...any)) {
	if b != nil {
		line("%s left to the base, %s", b.layers(), b.name)
		if b.Deltas > 0 {
			line("%d of them are in the bundle as deltas of %s: the base needs the files of older layers", b.Deltas, ui.Bytes(b.DeltaBytes))
		}
	}
}

// layers counts what is left to the base.
func (b *Base) layers() string {
	return fmt.Sprintf("%s (%s)", Plural(b.Layers, "layer"), ui.Bytes(b.Bytes))
}

// VerifiedBase is what verify says about the base of a bundle.
type VerifiedBase struct {
	Base
	// Verified says that the layers that are left to it were looked for, Paths
	// where they are.
	Verified bool     `json:"verified"`
	Paths    []string `json:"paths,omitempty"`
	// Missing are those that nobody has, Damage those that are not what they
	// must be.
	Missing []BaseLayer  `json:"missing,omitempty"`
	Damage  []BaseDamage `json:"damage,omitempty"`
}

// BaseLayer is a layer that the base has to have.
type BaseLayer struct {
	Layer digest.Digest `json:"layer"`
	Image string        `json:"image"`
}

// BaseDamage is a layer of a base that is not what it must be, or one that a delta makes wrong:
// then there is no Base.
type BaseDamage struct {
	Base  string        `json:"base"`
	Layer digest.Digest `json:"layer"`
	Error string        `json:"error"`
}

// of names the base to people.
func (d *BaseDamage) of() string {
	if d.Base == "" {
		return ""
	}
	return "base " + d.Base + ": "
}

// Right says that nothing is known to be wrong.
func (b *VerifiedBase) Right() bool { return len(b.Missing) == 0 && len(b.Damage) == 0 }

// lines say what is wrong with the base, or what of it is not known.
func (b *VerifiedBase) lines(p *printer) {
	for _, d := range b.Damage {
		p.line("DAMAGED  %slayer %s: %s", d.of(), d.Layer, d.Error)
	}
	for _, l := range b.Missing {
		p.line("MISSING  layer %s of %s: the base has to have it", l.Layer, l.Image)
	}
	switch {
	case b.Layers == 0:
	case !b.Verified:
		p.line("BASE     %s are left to %s; not verified: nodeseal verify BUNDLE --base STORE|BUNDLE does", b.layers(), b.name)
	case b.Right():
		p.line("BASE     %s are in %s; every digest is right", b.layers(), strings.Join(b.Paths, ", "))
	}
}
