package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
)

// runInspectImage shows what is inside the store in an image, mounted or not.
func runInspectImage(a *app, path string) error {
	m, err := seal.OpenImage(path, "")
	if err != nil {
		return err
	}
	defer m.Close()
	return runInspectStore(a, path, m.Dir())
}

// runInspectStore shows what is inside the store path, which lies in dir, as for a
// bundle. A slot whose image is not mounted shows what the image holds.
func runInspectStore(a *app, path, dir string) error {
	if file, ok := form.FileOf(path); ok && dir == path {
		if up, err := seal.ImageMounted(path); err == nil && !up {
			return runInspectImage(a, file)
		}
	}
	fsys := store.Files(dir)
	st, err := store.Open(fsys)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path, seal.ErrNotAStore)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if st.Empty() {
		return a.show(result.NewInspect(path, 0, &bundle.Inventory{Layers: bundle.Expanded}, nil, json.RawMessage("null")))
	}
	stored, err := store.OpenStored(fsys)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	// In a store layers are files, whatever form they had in the bundle: their
	// sizes are those of the plain tars.
	inv := *stored.Inventory()
	inv.Layers, inv.Blobs, inv.Base = bundle.Expanded, nil, nil
	var size int64
	seen := make(map[digest.Digest]bool)
	for _, l := range st.Layers {
		if d := l.UncompressedDigest; !seen[d] {
			seen[d] = true
			size += l.UncompressedSize
			inv.Blobs = append(inv.Blobs, bundle.Blob{Digest: d, Size: l.UncompressedSize, Kind: bundle.KindLayer})
		}
	}
	return a.show(result.NewInspect(path, size, &inv, result.CarriedBy(stored.Inventory()), stored.RawInventory()))
}
