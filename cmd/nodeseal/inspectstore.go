package main

import (
	"errors"
	"fmt"
	"io/fs"

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
		return a.show(result.NewInspectStore(path, st, nil))
	}
	stored, err := store.OpenStored(fsys)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return a.show(result.NewInspectStore(path, st, stored))
}
