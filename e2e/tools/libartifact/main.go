// Command libartifact prints what the library sees in stores of OCI artifacts: libartifact
// STORE... A line for each file of each artifact: its name as the store has it, the name of the
// file, and where it is. Each STORE is opened as CRI-O opens an additional one.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"go.podman.io/common/pkg/libartifact/store"
	"go.podman.io/common/pkg/libartifact/types"
	imagetypes "go.podman.io/image/v5/types"
)

func main() {
	for _, dir := range os.Args[1:] {
		if err := show(context.Background(), filepath.Join(dir, "artifacts")); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", dir, err)
			os.Exit(1)
		}
	}
}

func show(ctx context.Context, dir string) error {
	s, err := store.NewArtifactStore(dir, &imagetypes.SystemContext{})
	if err != nil {
		return err
	}
	list, err := s.List(ctx)
	if err != nil {
		return err
	}
	for _, a := range list {
		one, err := s.Inspect(ctx, a.Name)
		if err != nil {
			return err
		}
		paths, err := s.BlobMountPaths(ctx, one.Name, &types.BlobMountPathOptions{})
		if err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
		for _, p := range paths {
			fmt.Printf("%s %s %s\n", one.Name, p.Name, p.SourcePath)
		}
	}
	return nil
}
