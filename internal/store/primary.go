package store

import (
	"errors"
	"io/fs"

	"go.podman.io/storage"
)

// Primary is what the records of a primary store, CRI-O's and podman's own,
// say about the layers that it needs. Images that are pulled while an additional
// store is configured keep only what that store lacks.
type Primary struct {
	Layers     []storage.Layer
	Images     []storage.Image
	Containers []storage.Container
}

// ReadPrimary reads the records of the primary store in fsys (os.DirFS of the
// graph root). They are read without the library's locks: it replaces the files
// by rename. What is missing is empty.
func ReadPrimary(fsys fs.FS) (*Primary, error) {
	p := new(Primary)
	var volatileLayers []storage.Layer
	var volatileContainers []storage.Container
	for name, v := range map[string]any{
		layersFile:                                  &p.Layers,
		LayersDir + "/volatile-layers.json":         &volatileLayers,
		imagesFile:                                  &p.Images,
		containersDir + "/containers.json":          &p.Containers,
		containersDir + "/volatile-containers.json": &volatileContainers,
	} {
		if err := readJSON(fsys, name, v); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	p.Layers = append(p.Layers, volatileLayers...)
	p.Containers = append(p.Containers, volatileContainers...)
	return p, nil
}

const containersDir = "overlay-containers"
