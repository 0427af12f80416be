//go:build storage

// Command storage prints as JSON what a version of the storage library sees in read-only
// stores: storage ROOT RUN STORE... opens ROOT, an empty primary store, with each STORE as
// an additional one. The same source is built with each version.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"go.podman.io/storage"
	"go.podman.io/storage/pkg/reexec"
)

// seen is what the library says of the stores.
type seen struct {
	Images []image `json:"images"`
	Layers []layer `json:"layers"`
}

type image struct {
	ID     string   `json:"id"`
	Digest string   `json:"digest"`
	Names  []string `json:"names"`
	// BigData are digests, by their keys, of what was read.
	BigData map[string]string `json:"bigData"`
	// Plain is a container's root, Mapped that of one with IDs of its own.
	Plain  root `json:"plain"`
	Mapped root `json:"mapped"`
}

type layer struct {
	ID         string `json:"id"`
	Parent     string `json:"parent"`
	Diff       string `json:"diff"`
	Compressed string `json:"compressed"`
	// Rebuilt is the digest of the layer's archive as the library makes it again, or why it
	// cannot.
	Rebuilt string `json:"rebuilt"`
}

func main() {
	// The library does some of its work in processes of this program.
	if reexec.Init() {
		return
	}
	out, err := look(os.Args[1], os.Args[2], os.Args[3:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func look(graph, run string, stores []string) (*seen, error) {
	options := storage.StoreOptions{GraphRoot: graph, RunRoot: run, GraphDriverName: "overlay"}
	for _, s := range stores {
		options.GraphDriverOptions = append(options.GraphDriverOptions, "overlay.imagestore="+s)
	}
	lib, err := storage.GetStore(options)
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = lib.Shutdown(true) }()
	images, err := lib.Images()
	if err != nil {
		return nil, err
	}
	layers, err := lib.Layers()
	if err != nil {
		return nil, err
	}
	out := new(seen)
	for i := range images {
		one, err := lookAt(lib, graph, &images[i])
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", images[i].ID, err)
		}
		out.Images = append(out.Images, one)
	}
	for i := range layers {
		l := &layers[i]
		rebuilt, err := rebuild(lib, l)
		if err != nil {
			rebuilt = err.Error()
		}
		out.Layers = append(out.Layers, layer{
			ID: l.ID, Parent: l.Parent, Diff: l.UncompressedDigest.String(), Compressed: l.CompressedDigest.String(), Rebuilt: rebuilt,
		})
	}
	return out, nil
}

// lookAt reads an image, which each of its names and digests has to find.
func lookAt(lib storage.Store, graph string, i *storage.Image) (image, error) {
	out := image{ID: i.ID, Digest: i.Digest.String(), Names: slices.Sorted(slices.Values(i.Names)), BigData: make(map[string]string)}
	for _, name := range i.Names {
		if found, err := lib.Image(name); err != nil || found.ID != i.ID {
			return out, fmt.Errorf("%s finds %v, %w", name, found, err)
		}
	}
	for _, d := range append(slices.Clone(i.Digests), i.Digest) {
		found, err := lib.ImagesByDigest(d)
		if err != nil || !slices.ContainsFunc(found, func(f *storage.Image) bool { return f.ID == i.ID }) {
			return out, fmt.Errorf("%s finds %v, %w", d, found, err)
		}
	}
	for _, key := range i.BigDataNames {
		data, err := lib.ImageBigData(i.ID, key)
		if err != nil {
			return out, fmt.Errorf("%s: %w", key, err)
		}
		out.BigData[key] = digestOf(data)
	}
	if _, err := lib.ImageSize(i.ID); err != nil { // CRI-O asks for it
		return out, fmt.Errorf("its size: %w", err)
	}
	var err error
	if out.Plain, err = mount(lib, graph, i.ID, storage.IDMappingOptions{HostUIDMapping: true, HostGIDMapping: true}); err != nil {
		return out, fmt.Errorf("a container: %w", err)
	}
	if out.Mapped, err = mount(lib, graph, i.ID, mapping()); err != nil {
		return out, fmt.Errorf("a container with IDs of its own: %w", err)
	}
	return out, nil
}
