package bundle

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// ErrNotArtifact is wrapped when the manifest of an artifact is that of something else.
var ErrNotArtifact = errors.New("it is no OCI artifact")

// IsArtifact reports whether a manifest is of an OCI artifact (a chart, a model, a signature)
// and of no container image: its configuration has a media type of its own. CRI-O tells them
// apart in the same way.
func IsArtifact(data []byte, mediaType string) bool {
	var m struct {
		Config v1.Descriptor `json:"config"`
	}
	return mediaType == v1.MediaTypeImageManifest && jsonbound.Unmarshal(data, &m) == nil && isArtifactConfig(m.Config.MediaType)
}

func isArtifactConfig(mediaType string) bool {
	switch mediaType {
	case "", v1.MediaTypeImageConfig, MediaTypeDockerConfig, mediaTypeOldDockerConfig:
		return false
	}
	return true
}

// parseArtifact is parseManifest for artifacts: what their layers are is not looked at.
func parseArtifact(data []byte, mediaType string) (*manifest, error) {
	var m manifest
	if err := jsonbound.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", ErrChain, err)
	}
	switch {
	case mediaType != v1.MediaTypeImageManifest || m.SchemaVersion == 1 || m.MediaType != "" && m.MediaType != mediaType:
		return nil, fmt.Errorf("%w: media type %q in a manifest of type %q", ErrNotArtifact, m.MediaType, mediaType)
	case !isArtifactConfig(m.Config.MediaType):
		return nil, fmt.Errorf("%w: its configuration is of media type %q", ErrNotArtifact, m.Config.MediaType)
	case m.Config.Size < 0 || m.Config.Size > MaxSmallBlob:
		return nil, fmt.Errorf("%w: a configuration of %d bytes", ErrChain, m.Config.Size)
	}
	if err := CheckDigest(m.Config.Digest); err != nil {
		return nil, fmt.Errorf("%w: configuration: %w", ErrChain, err)
	}
	if err := onlyFields(data, "config", "layers"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	// Its library reads more fields than these. One manifest that it cannot read makes it
	// refuse the whole store.
	if err := jsonbound.Unmarshal(data, new(v1.Manifest)); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", ErrChain, err)
	}
	for _, l := range m.Layers {
		if err := CheckDigest(l.Digest); err != nil {
			return nil, fmt.Errorf("%w: layer: %w", ErrChain, err)
		}
		if l.Size < 0 || l.Size > MaxBlob {
			return nil, fmt.Errorf("%w: layer %s: %d bytes", ErrChain, l.Digest, l.Size)
		}
	}
	return &m, nil
}

// DescribeArtifact reads the manifest of an artifact and returns it as an Image that is
// Artifact: Digest, MediaType, Config and Layers. The error wraps ErrNotArtifact or ErrChain.
func DescribeArtifact(data []byte, mediaType string) (Image, error) {
	m, err := parseArtifact(data, mediaType)
	if err != nil {
		return Image{}, err
	}
	img := Image{
		Digest: digest.FromBytes(data), MediaType: mediaType, Artifact: true,
		Config: Config{Digest: m.Config.Digest, Size: m.Config.Size},
		Layers: make([]Layer, len(m.Layers)),
	}
	for i, l := range m.Layers {
		img.Layers[i] = Layer{Digest: l.Digest, Size: l.Size, MediaType: l.MediaType, DiffID: l.Digest, Original: true}
	}
	return img, nil
}

// artifactName is what libartifact, the library with which CRI-O reads stores of artifacts,
// takes as a name. One name that it does not take makes it refuse the whole store.
var artifactName = regexp.MustCompile(`^[A-Za-z0-9]+(?:(?:[-._:@+/]|--)[A-Za-z0-9]+)*$`)

// ReadableArtifact reports whether CRI-O finds an artifact of a store under name. Its library
// refuses a name with two of "_" or "." in a row, with three of "-", or with one of them at the
// start or end of a part.
func ReadableArtifact(name string) bool { return artifactName.MatchString(name) }

// UnreadableNames returns those names of an artifact under which no node finds it in a store
// (ReadableArtifact). nodeseal serve answers them.
func (img *Image) UnreadableNames() []string {
	if !img.Artifact {
		return nil
	}
	return slices.DeleteFunc(append([]string{img.Ref}, img.Names...), ReadableArtifact)
}

// Exact reports whether a node keeps the layers of img as the registry has them.
func (img *Image) Exact() bool { return img.Original || img.Artifact }

// HasArtifact reports whether one of the images is an artifact.
func (inv *Inventory) HasArtifact() bool {
	for i := range inv.Images {
		if inv.Images[i].Artifact {
			return true
		}
	}
	return false
}

// checkArtifactLayer holds a layer of an artifact to what every such layer is: one blob, in
// the form that the registry has.
func checkArtifactLayer(l Layer) error {
	if l.DiffID != l.Digest || l.DiffSize != 0 || l.TrueSize != 0 || !l.Original {
		return fmt.Errorf("layer %s of an artifact is not held original, as what it is", l.Digest)
	}
	return nil
}

// validateArtifact checks that the blobs of an artifact are in the bundle or its base. A blob
// has one kind: the empty configuration of an artifact can be an attachment's too.
func (inv *Inventory) validateArtifact(img *Image, blobs map[digest.Digest]Blob) error {
	small := []digest.Digest{img.Digest, img.Config.Digest}
	if img.Index != "" {
		small = append(small, img.Index)
	}
	for _, d := range small {
		if b, ok := blobs[d]; !ok || !b.Kind.Small() {
			return fmt.Errorf("%s is not among the small blobs", d)
		}
	}
	for _, l := range img.Layers {
		if err := checkArtifactLayer(l); err != nil {
			return err
		}
		if l.Size < 0 || l.Size > MaxBlob {
			return fmt.Errorf("layer %s: %d bytes", l.Digest, l.Size)
		}
		b, ok := blobs[l.Digest]
		if !ok || b.Kind == KindFileTable {
			return fmt.Errorf("layer %s is not among the blobs", l.Digest)
		}
		if b.Size != l.Size {
			return fmt.Errorf("layer %s has %d bytes, its blob %d", l.Digest, l.Size, b.Size)
		}
	}
	if img.Original {
		return errors.New("an artifact is marked as an image whose layers are kept")
	}
	return nil
}
