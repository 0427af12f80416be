package bundle

import (
	"fmt"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// checkReadable refuses an image that containers/image, the library of CRI-O and
// podman, does not read: it is said while images are collected, and not by the first
// pod. What is asked for is what the library asks for.
func checkReadable(m *manifest, mediaType string, config []byte) error {
	if mediaType == MediaTypeDockerManifest {
		if m.MediaType == "" {
			return fmt.Errorf("%w: a Docker manifest without mediaType", ErrUnreadable)
		}
		for _, l := range m.Layers {
			if !dockerLayer(l.MediaType) {
				return fmt.Errorf("%w: layer %s of media type %q in a Docker manifest", ErrUnreadable, l.Digest, l.MediaType)
			}
		}
	}
	var c v1.Image
	if err := jsonbound.Unmarshal(config, &c); err != nil {
		return fmt.Errorf("%w: configuration: %w", ErrUnreadable, err)
	}
	return nil
}

// dockerLayer reports whether mediaType is one of Docker's layers.
func dockerLayer(mediaType string) bool {
	switch mediaType {
	case mediaTypeDockerLayer, mediaTypeDockerLayer + ".gzip", mediaTypeDockerLayer + ".zstd",
		dockerForeignLayer, dockerForeignLayer + ".gzip":
		return true
	}
	return false
}
