package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/mirror/deltas"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/layout"
)

// tell leaves new layers to the base that are shorter as what differs from its layers, and puts
// these deltas into the bundle.
func (r *run) tell(ctx context.Context, a *assembly, inv *bundle.Inventory) error {
	if !r.tells() {
		return nil
	}
	layers := a.newLayers(inv.Images)
	if len(layers) == 0 {
		return nil
	}
	dir, err := r.work.Deltas()
	if err != nil {
		return err
	}
	begun := false
	made, err := deltas.Make(ctx, r.since.Old, layers, deltas.Options{
		Earlier: r.since.Path, Dir: dir, Jobs: r.o.Encoders,
		Begin: func(n int64) {
			begun = true
			r.o.Progress.Begin(PhaseDeltas, n, progress.Bytes)
		},
		Read: func(n int64) { r.o.Progress.Add(PhaseDeltas, n) },
		Whole: func(layer digest.Digest, reason error) {
			r.o.Log.Info("a layer is held whole", "layer", layer, "reason", reason)
		},
	})
	if err != nil {
		return err
	}
	if begun {
		r.o.Progress.End(PhaseDeltas)
	}
	for _, m := range made {
		a.based[m.Layer] = a.blobs[m.Layer]
		delete(a.blobs, m.Layer)
		delete(a.places, m.Layer)
		a.blobs[m.Delta] = bundle.Blob{Digest: m.Delta, Size: m.Size, Kind: bundle.KindDelta}
		a.places[m.Delta] = place{path: m.Path, size: m.Size}
		a.deltas = append(a.deltas, bundle.Delta{Layer: m.Layer, Delta: m.Delta, From: m.From})
	}
	return a.fill(inv)
}

// tells reports whether new layers are told by the files of older ones.
func (r *run) tells() bool {
	return r.since != nil && r.since.Old != nil && r.o.Layers == bundle.Expanded
}

// newLayers are the plain layers that the bundle would hold whole, the longest first.
func (a *assembly) newLayers(images []bundle.Image) []deltas.Layer {
	sure := a.since.sure(images)
	known := make(map[digest.Digest]bool)
	var out []deltas.Layer
	for i := range images {
		for _, l := range images[i].Layers {
			p, ok := a.places[l.DiffID]
			if !ok || p.form != bundle.Expanded || p.table || p.path != "" || a.blobs[l.DiffID].Kind != bundle.KindLayer {
				continue
			}
			if known[l.DiffID] {
				continue
			}
			known[l.DiffID] = true
			size := a.blobs[l.DiffID].Size
			out = append(out, deltas.Layer{
				DiffID: l.DiffID, Size: size, Held: p.size, By: sure[l.DiffID],
				Open: func(context.Context) (io.ReadCloser, error) { return a.openPlain(p, size) },
			})
		}
	}
	slices.SortStableFunc(out, func(x, y deltas.Layer) int {
		if x.Size != y.Size {
			return int(min(max(y.Size-x.Size, -1), 1))
		}
		return strings.Compare(x.DiffID.String(), y.DiffID.String())
	})
	return out
}

// openPlain opens the tar of a layer that the work directory has as frames.
func (a *assembly) openPlain(p place, size int64) (io.ReadCloser, error) {
	frames, _, err := a.work.OpenLayer(p.compressed, p.blob, p.form)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(frames, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(2*seekable.FrameSize))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("zstd decoder: %w", err), frames.Close())
	}
	return &plainReader{io.LimitReader(z, size), z, frames}, nil
}

// plainReader is a layer without the zeros behind it.
type plainReader struct {
	io.Reader
	z      *zstd.Decoder
	frames io.Closer
}

// Close implements io.Closer.
func (r *plainReader) Close() error {
	r.z.Close()
	return r.frames.Close()
}

// openDelta opens a delta of this run, verified.
func openDelta(p place, d digest.Digest) (io.ReadCloser, error) {
	f, err := os.Open(p.path)
	if err != nil {
		return nil, fmt.Errorf("the work directory was changed: %w", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{layout.NewVerifier(f, d, p.size), f}, nil
}
