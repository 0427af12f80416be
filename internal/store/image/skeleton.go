package image

import (
	"fmt"
	"path"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store"
)

// skeleton is what of the image is not in a layer: the folders of the store.
type skeleton struct {
	build *erofs.Builder
	dirs  map[string]erofs.Node
}

// folder has the mode that package dir gives folders.
func (s *skeleton) folder(name string) (erofs.Node, error) {
	if n, ok := s.dirs[name]; ok {
		return n, nil
	}
	parent, err := s.folder(path.Dir(name))
	if err != nil {
		return 0, err
	}
	n, err := s.build.Dir(parent, path.Base(name), erofs.Attr{Mode: 0o700})
	if err != nil {
		return 0, fmt.Errorf("folder %s: %w", name, err)
	}
	s.dirs[name] = n
	return n, nil
}

// makeSkeleton makes the folders, those of layers too: what is in them comes from
// many goroutines.
func (im *importer) makeSkeleton() error {
	im.tree = &skeleton{build: im.build, dirs: map[string]erofs.Node{".": erofs.Root}}
	for _, name := range []string{store.OverlayDir, store.LinkDir, store.LayersDir, store.ImagesDir} {
		if _, err := im.tree.folder(name); err != nil {
			return err
		}
	}
	for _, j := range im.work {
		for _, l := range j.Layers {
			n, err := im.tree.folder(store.DiffDir(l.ID))
			if err != nil {
				return err
			}
			j.diffs = append(j.diffs, n)
		}
	}
	return nil
}
