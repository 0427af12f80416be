package dir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/nodeseal/nodeseal/internal/store"
)

// Present reports whether the directory target is the store of the images of
// src already, and whole as far as that can be seen without reading layers: the
// same inventory, every image and layer recorded, every metadata file and
// layer's directory there. It is false where there is nothing, another store or
// something else. Nothing is changed. Errors are about src, or of the disk.
func Present(ctx context.Context, src store.Source, target string) (bool, error) {
	fsys := store.Files(target)
	st, err := store.Open(fsys)
	if err != nil {
		return false, unlessRights(err)
	}
	raw, err := st.RawInventory()
	if err != nil {
		return false, unlessRights(err)
	}
	if !bytes.Equal(raw, src.RawInventory()) || store.CheckLocks(fsys) != nil {
		return false, nil
	}
	plan, err := store.NewPlan(ctx, src, store.Selection{Architecture: runtime.GOARCH})
	if err != nil {
		return false, fmt.Errorf("planning the store: %w", err)
	}
	if len(plan.Layers) != len(st.Layers) || len(plan.Images) != len(st.Images) || len(plan.References) != len(st.References) {
		return false, nil
	}
	if !presentOriginals(target, plan.Originals) {
		return false, nil
	}
	for i, l := range plan.Layers {
		if st.Layers[i].ID != l.ID || !exist(target, store.DiffDir(l.ID), store.TarSplitFile(l.ID)) {
			return false, nil
		}
	}
	for i, img := range plan.Images {
		if st.Images[i].ID != img.ID {
			return false, nil
		}
		for _, item := range img.Data {
			if !exist(target, img.DataFile(item)) {
				return false, nil
			}
		}
	}
	return true, nil
}

// unlessRights drops errors but those of rights: what cannot be read as a store
// is none.
func unlessRights(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("looking at the store: %w", err)
	}
	return nil
}

// exist reports whether all names are below dir.
func exist(dir string, names ...string) bool {
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return false
		}
	}
	return true
}
