package store

import (
	"errors"
	"fmt"
	"io/fs"
)

// EmptyFiles returns the files of a store without images: valid for every
// reader, so that a path can be configured before there is anything in it.
func EmptyFiles() []File {
	const none = "[]"
	return []File{
		{Path: OverlayDir, Mode: 0o700, Dir: true},
		{Path: LinkDir, Mode: 0o700, Dir: true},
		{Path: LayersDir, Mode: 0o700, Dir: true},
		{Path: ImagesDir, Mode: 0o700, Dir: true},
		{Path: layersFile, Mode: metadataPrivate, Content: []byte(none)},
		{Path: layersLockFile, Mode: metadataPublic, Content: lockContent([]byte(none))},
		{Path: imagesFile, Mode: metadataPrivate, Content: []byte(none)},
		{Path: imagesLockFile, Mode: metadataPublic, Content: lockContent([]byte(none))},
	}
}

// Empty reports whether the store holds nothing. One of whose artifacts nothing can be read
// still has the inventory of its bundle.
func (s *Store) Empty() bool {
	return len(s.Images) == 0 && len(s.Layers) == 0 && len(s.Artifacts) == 0 && !s.own
}

// CheckLocks reports lock files that are missing, empty or no regular files.
// Readers create missing ones, which a sealed store forbids: CRI-O would not
// start, or see no images.
func CheckLocks(fsys fs.FS) error {
	var errs []error
	for _, name := range []string{layersLockFile, imagesLockFile} {
		info, err := fs.Stat(fsys, name)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("lock file: %w", err))
		case !info.Mode().IsRegular() || info.Size() == 0:
			errs = append(errs, fmt.Errorf("lock file %s is empty", name))
		}
	}
	return errors.Join(errs...)
}

// CheckLayers reports records of the store in the directory dir whose contents
// have no directory, and images whose top layer has no record: the first few.
func CheckLayers(dir string, s *Store) error {
	var errs []error
	known := make(map[string]bool, len(s.Layers))
	fsys := Files(dir)
	for _, l := range s.Layers {
		known[l.ID] = true
		info, err := fs.Stat(fsys, DiffDir(l.ID))
		if err == nil && !info.IsDir() {
			err = errors.New("its contents are no directory")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("layer %.12s: %w", l.ID, err))
		}
	}
	for _, img := range s.Images {
		if img.TopLayer != "" && !known[img.TopLayer] {
			errs = append(errs, fmt.Errorf("image %.12s: no record of its layer %.12s", img.ID, img.TopLayer))
		}
	}
	const few = 3
	return errors.Join(errs[:min(len(errs), few)]...)
}
