package form

import (
	"context"
	"fmt"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/verify"
)

// Verified is what Verify found.
type Verified = image.Verified

// Verify proves the store at path again: one in a directory, or an image by the name
// of its file. It reports the phases "verify" (bytes of layers) and "hash" (bytes of
// the image).
func Verify(ctx context.Context, path string, report progress.Func) (*Verified, error) {
	follow := func(phase string) (total, read func(int64)) {
		return func(n int64) { report.Begin(phase, n, progress.Bytes) }, func(n int64) { report.Add(phase, n) }
	}
	const phaseLayers, phaseImage = "verify", "hash"
	layers := verify.Options{}
	layers.Total, layers.Read = follow(phaseLayers)
	file, ok := FileAt(path)
	if !ok {
		rep, err := verify.Store(ctx, path, layers)
		if err != nil {
			return nil, err
		}
		report.End(phaseLayers)
		return &Verified{Report: rep}, nil
	}
	opts := image.VerifyOptions{Store: layers}
	opts.Total, opts.Read = follow(phaseImage)
	rep, err := image.Verify(ctx, file, opts)
	if err != nil {
		return nil, err
	}
	report.End(phaseImage)
	return rep, nil
}

// Inventory is that of the bundle which the store at path was made of.
func Inventory(path string) (*bundle.Inventory, error) {
	dir := path
	if file, ok := FileAt(path); ok {
		m, err := seal.OpenImage(file, "")
		if err != nil {
			return nil, err
		}
		defer m.Close()
		dir = m.Dir()
	}
	stored, err := store.OpenStored(store.Files(dir))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return stored.Inventory(), nil
}
