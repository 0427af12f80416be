package audit

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/visible"
)

// phaseLayers is the phase of progress in which the layers of a bundle are read.
const phaseLayers = "verify"

// ReadLayers reads the bundle at path, which h is of, to its end: layers that no node takes are
// findings of the audit. nodeseal puts none into a bundle, but other writers may. is looks whether
// it still has the inventory that h is of. The error wraps bundle.ErrDamaged if the bundle is damaged.
func (h *Held) ReadLayers(ctx context.Context, path string, is func(rawInventory []byte) error, p progress.Func) error {
	f, size, err := archive.OpenBytes(path)
	if err != nil {
		return err
	}
	defer f.Close()
	p.Begin(phaseLayers, size, progress.Bytes)
	rep, err := archive.Verify(ctx, f, size, archive.VerifyOptions{
		Jobs: runtime.GOMAXPROCS(0), Trust: is, Read: func(n int64) { p.Add(phaseLayers, n) },
	})
	if err != nil {
		return err
	}
	p.End(phaseLayers)
	if len(rep.Damage) > 0 {
		return fmt.Errorf("%s: %w in %d places, the first: %w", path, bundle.ErrDamaged, len(rep.Damage), rep.Damage[0])
	}
	h.refused = rep.Refused
	return nil
}

// refusedLayers finds images of the bundle that no node imports.
func refusedLayers(s *Snapshot) []Finding {
	if s.Held == nil {
		return nil
	}
	var out []Finding
	for _, l := range s.Held.refused {
		for _, ref := range slices.Compact(slices.Sorted(slices.Values(l.Images))) {
			out = append(out, Finding{
				Rule: "refused-layer", Severity: Breaks, Object: ref,
				What: fmt.Sprintf("No node takes the layer %s of %s: its member %s: %v.", l.Blob, s.Held.Name, visible.Line(l.Err.Name), l.Err.Err),
				Why:  "`nodeseal import` of the bundle fails on every node.",
				Mend: "Rebuild the image without that member, or leave it out: `nodeseal bundle --exclude`, or `nodeseal import --without` on the nodes.",
			})
		}
	}
	return out
}
