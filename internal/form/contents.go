package form

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
)

// Contents are what is inside a store.
type Contents struct {
	// Path is the directory, or the file where it is an image that is not mounted.
	Path string
	// Store are the records.
	Store *store.Store
	// Stored is what it has of its bundle, nil where the store is empty.
	Stored *store.Stored
}

// ReadContents reads the store at path: one in a directory, or an image by the name of its
// file. A slot whose image is not mounted has what the image holds. The error wraps
// seal.ErrNotAStore if there is none.
func ReadContents(path string) (*Contents, error) {
	file, ok := FileAt(path)
	if ok && IsDir(path) {
		up, err := seal.ImageMounted(path)
		ok = err == nil && !up
	}
	if !ok {
		return contents(path, path)
	}
	m, err := seal.OpenImage(file, "")
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return contents(file, m.Dir())
}

// contents reads the store that lies in dir.
func contents(path, dir string) (*Contents, error) {
	fsys := store.Files(dir)
	st, err := store.Open(fsys)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, seal.ErrNotAStore)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	out := &Contents{Path: path, Store: st}
	if st.Empty() {
		return out, nil
	}
	if out.Stored, err = store.OpenStored(fsys); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}
