package difference

import (
	"context"
	"errors"
	"io"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/holding"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// About is what was compared.
type About struct {
	Path    string
	Kind    holding.Kind
	Release *bundle.Release
	// Images is how many references it has. Total is what their layers take, nil if they are not known.
	Images int
	Total  *Amount
	// Size is the length of a bundle that needs no base, in bytes; 0 of all else.
	Size int64
	// Signed says that it is of a kind that has a signature: a bundle, or the inventory of one.
	Signed bool
}

// Stick is what a bundle of the second side's images has to carry.
type Stick struct {
	// Since is for nodes that have the first side (bundle --since), nil if that cannot be; Why
	// says why then. Whole is for nodes that have nothing.
	Since, Whole *plan.Plan
	Why          *mirror.FormError
}

// Report is a difference, with what was compared.
type Report struct {
	From, To About
	Difference
	// Stick is nil if the layers of a side are not known.
	Stick *Stick
}

// Read compares what is at two paths, which holding.Open opens, one after the other: no more
// of the first one is kept than is compared.
func Read(ctx context.Context, from, to string, by trust.Bundle, open func(name string) (io.ReadCloser, error)) (*Report, error) {
	h, err := holding.Open(ctx, from, by, open)
	if err != nil {
		return nil, err
	}
	a := side(h)
	r := &Report{From: about(h, a)}
	var leaves *mirror.Leaves
	if a.Sized {
		leaves = mirror.NewLeaves(h.Inventory)
	}
	if h, err = holding.Open(ctx, to, by, open); err != nil {
		return nil, err
	}
	b := side(h)
	r.To = about(h, b)
	if leaves != nil && b.Sized {
		if r.Stick, err = stick(leaves, h.Inventory); err != nil {
			return nil, err
		}
	}
	r.Difference = *Compare(a, b)
	return r, nil
}

func side(h *holding.Holding) *Side {
	if h.Inventory == nil {
		return OfEntries(h.Images)
	}
	return OfInventory(h.Inventory)
}

func about(h *holding.Holding, s *Side) About {
	return About{Path: h.Path, Kind: h.Kind, Release: h.Release, Images: len(s.Images), Total: s.Total(), Size: h.Size, Signed: h.Signed}
}

func stick(leaves *mirror.Leaves, inv *bundle.Inventory) (*Stick, error) {
	var s Stick
	var err error
	if s.Since, err = leaves.Plan(inv); err != nil && !errors.As(err, &s.Why) {
		return nil, err
	}
	var none *mirror.Leaves
	s.Whole, err = none.Plan(inv)
	return &s, err
}
