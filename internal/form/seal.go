package form

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
)

// Seal seals the store in a directory and mounts it read-only there.
func Seal(ctx context.Context, store string, opts seal.Options) (seal.Report, error) {
	if file, ok := FileOf(store); ok {
		opts.Label = dir.Label()
		return seal.Image(file, store, opts)
	}
	return seal.Seal(ctx, store, opts)
}

// Unseal takes the seal off.
func Unseal(ctx context.Context, store string) (seal.Report, error) {
	if file, ok := FileOf(store); ok {
		return seal.UnsealImage(file, store)
	}
	return seal.Unseal(ctx, store)
}

// State says how a store is sealed. The mount of an empty store counts while its image
// could not be mounted: that image is to be mounted.
func State(ctx context.Context, store string) (seal.Report, error) {
	file, ok := FileOf(store)
	if !ok {
		return seal.State(ctx, store)
	}
	rep, err := seal.ImageState(file, store)
	if err == nil && !rep.Mounted {
		rep.Mounted, err = seal.Mounted(store)
	}
	return rep, err
}

// Place mounts the image of the store in a directory there, unless noMount, and seals
// it, unless noSeal; then the report is nil. The directory is made if it is missing. It may
// be called again. It returns the directory's absolute path.
func Place(store string, noSeal, noMount bool) (string, *seal.Report, error) {
	point, err := filepath.Abs(store)
	if err != nil {
		return "", nil, err
	}
	file := point + image.Suffix
	mounted, err := isMounted(point)
	if err == nil && !mounted {
		err = image.MakePoint(point)
	}
	if err != nil {
		return point, nil, err
	}
	if !noSeal {
		rep, err := seal.Image(file, point, seal.Options{NoMount: noMount, Label: dir.Label()})
		return point, &rep, err
	}
	if !noMount {
		err = seal.MountImage(file, point, dir.Label())
	}
	return point, nil, err
}

// isMounted reports whether an image is mounted at point.
func isMounted(point string) (bool, error) {
	if _, err := os.Lstat(point); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return seal.ImageMounted(point)
}
