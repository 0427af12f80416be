package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// Media types of Docker's image manifest version 2.
const (
	MediaTypeDockerManifest  = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerList      = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaTypeDockerSchema1   = "application/vnd.docker.distribution.manifest.v1+json"
	mediaTypeDockerSchema1JW = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	mediaTypeDockerLayer     = "application/vnd.docker.image.rootfs.diff.tar"
	dockerForeignLayer       = "application/vnd.docker.image.rootfs.foreign.diff.tar"
	MediaTypeDockerConfig    = "application/vnd.docker.container.image.v1+json"
	// mediaTypeOldDockerConfig is what Docker 1.10 called its configurations.
	mediaTypeOldDockerConfig = "application/octet-stream"
)

// ociForeignLayer is what the specification of OCI images has called foreign layers.
const ociForeignLayer = "application/vnd.oci.image.layer.nondistributable.v1.tar"

// AnnotationDigest names, on a readable manifest and its index entry, the
// digest of the manifest that the registry has.
const AnnotationDigest = "io.nodeseal.digest"

var (
	// ErrSchema1 is returned for Docker manifests of schema version 1, which
	// name no configuration and no diff IDs.
	ErrSchema1 = errors.New("it is a Docker schema 1 manifest, which cannot be verified: rebuild or convert the image")
	// ErrForeignLayer is wrapped when the registry does not have the bytes of a layer that
	// it need not have (IsForeign).
	ErrForeignLayer = errors.New("it has a foreign (non-distributable) layer, whose bytes are not in the registry")
	// ErrEncryptedLayer is returned for layers that are encrypted.
	ErrEncryptedLayer = errors.New("it has an encrypted layer: decrypt the image first")
	// ErrNotImage is returned for manifests of artifacts that are no container images.
	ErrNotImage = errors.New("it is no container image")
	// ErrUnreadable is wrapped when an image is whole, and the library of CRI-O and podman
	// cannot read it.
	ErrUnreadable = errors.New("CRI-O cannot read it")
	// ErrChain is wrapped when manifest, configuration and inventory disagree.
	ErrChain = errors.New("manifest, configuration and layers disagree")
)

// IsIndex reports whether mediaType is that of a manifest list or image index.
func IsIndex(mediaType string) bool {
	return mediaType == v1.MediaTypeImageIndex || mediaType == MediaTypeDockerList
}

// manifest is what both kinds of image manifest have in common.
type manifest struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	Config        v1.Descriptor   `json:"config"`
	Layers        []v1.Descriptor `json:"layers"`
	FSLayers      json.RawMessage `json:"fsLayers"`
}

// ManifestConfig returns the descriptor of the configuration that an image
// manifest of the given media type names. The errors are those of DescribeImage.
func ManifestConfig(data []byte, mediaType string) (v1.Descriptor, error) {
	m, err := parseManifest(data, mediaType)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return m.Config, nil
}

func parseManifest(data []byte, mediaType string) (*manifest, error) {
	if mediaType == mediaTypeDockerSchema1 || mediaType == mediaTypeDockerSchema1JW {
		return nil, ErrSchema1
	}
	var m manifest
	if err := jsonbound.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", ErrChain, err)
	}
	if m.SchemaVersion == 1 || len(m.FSLayers) > 0 {
		return nil, ErrSchema1
	}
	if mediaType != v1.MediaTypeImageManifest && mediaType != MediaTypeDockerManifest {
		return nil, fmt.Errorf("%w: media type %q", ErrNotImage, mediaType)
	}
	// Writers leave the schema version out, and readers do not look at it.
	if m.MediaType != "" && m.MediaType != mediaType {
		return nil, fmt.Errorf("%w: media type %q in a manifest of type %q", ErrChain, m.MediaType, mediaType)
	}
	if err := CheckDigest(m.Config.Digest); err != nil {
		return nil, fmt.Errorf("%w: configuration: %w", ErrChain, err)
	}
	if m.Config.Size < 0 || m.Config.Size > MaxSmallBlob {
		return nil, fmt.Errorf("%w: a configuration of %d bytes", ErrChain, m.Config.Size)
	}
	if err := checkConfigType(m.Config.MediaType, mediaType); err != nil {
		return nil, err
	}
	if err := onlyFields(data, "config", "layers"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	return &m, checkLayers(m.Layers)
}

func checkLayers(layers []v1.Descriptor) error {
	for _, l := range layers {
		if err := CheckDigest(l.Digest); err != nil {
			return fmt.Errorf("%w: layer: %w", ErrChain, err)
		}
		switch {
		case l.Size < 0 || l.Size > MaxBlob:
			return fmt.Errorf("%w: layer %s: %d bytes", ErrChain, l.Digest, l.Size)
		case strings.HasSuffix(l.MediaType, "+encrypted"):
			return fmt.Errorf("layer %s: %w", l.Digest, ErrEncryptedLayer)
		}
		if _, err := LayerCompression(l.MediaType); err != nil {
			return fmt.Errorf("layer %s: %w", l.Digest, err)
		}
	}
	return nil
}

// IsForeign reports whether mediaType is that of a foreign (non-distributable) layer,
// whose bytes a registry need not have.
func IsForeign(mediaType string) bool {
	return strings.HasPrefix(mediaType, ociForeignLayer) || strings.HasPrefix(mediaType, dockerForeignLayer)
}

// LayerCompression returns the compression that a layer's media type says, "" where it
// says none: the bytes decide. The error wraps ErrNotImage for a media type of
// something else than layers.
func LayerCompression(mediaType string) (string, error) {
	switch mediaType {
	case "", "application/octet-stream", "application/x-tar":
		return "", nil
	}
	base, suffix, _ := strings.Cut(mediaType, "+")
	docker := base
	for _, s := range []string{"gzip", "zstd"} {
		if rest, ok := strings.CutSuffix(base, "."+s); ok {
			docker, suffix = rest, s
		}
	}
	known := base == v1.MediaTypeImageLayer || base == ociForeignLayer || docker == mediaTypeDockerLayer || docker == dockerForeignLayer
	if !known || !slices.Contains([]string{"", "gzip", "zstd", "xz", "bzip2"}, suffix) {
		return "", fmt.Errorf("%w: a layer of media type %q", ErrNotImage, mediaType)
	}
	return suffix, nil
}

// imageConfig is what of an image configuration the chain needs.
type imageConfig struct {
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Variant      string    `json:"variant"`
	OSVersion    string    `json:"os.version"`
	RootFS       v1.RootFS `json:"rootfs"`
	// Created is read because every reader does, and refuses what is no time.
	Created *time.Time `json:"created"`
}

func (c *imageConfig) platform() *v1.Platform {
	return &v1.Platform{Architecture: c.Architecture, OS: c.OS, Variant: c.Variant, OSVersion: c.OSVersion}
}

func parseConfig(data []byte) (*imageConfig, error) {
	var c imageConfig
	if err := jsonbound.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("not an image configuration: %w", err)
	}
	// The type is always the same one, and some writers leave it out.
	if c.RootFS.Type != "layers" && (c.RootFS.Type != "" || len(c.RootFS.DiffIDs) == 0) {
		return nil, fmt.Errorf("%w: its configuration has a root file system of type %q", ErrNotImage, c.RootFS.Type)
	}
	return &c, nil
}

// DescribeImage reads a manifest of the given media type and its configuration
// and returns the image that they describe: Digest, MediaType, Platform, Config
// and Layers without DiffSize. The error is or wraps one of this file's
// sentinels where the two do not make an image that can be verified.
func DescribeImage(manifestBytes []byte, mediaType string, config []byte) (Image, error) {
	m, err := parseManifest(manifestBytes, mediaType)
	if err != nil {
		return Image{}, err
	}
	if digest.FromBytes(config) != m.Config.Digest || int64(len(config)) != m.Config.Size {
		return Image{}, fmt.Errorf("%w: the configuration is not %s of %d bytes", ErrChain, m.Config.Digest, m.Config.Size)
	}
	c, err := parseConfig(config)
	if err != nil {
		return Image{}, fmt.Errorf("%w: configuration: %w", ErrChain, err)
	}
	if err := checkReadable(m, mediaType, config); err != nil {
		return Image{}, err
	}
	if len(c.RootFS.DiffIDs) != len(m.Layers) {
		return Image{}, fmt.Errorf("%w: %d layers, the configuration says %d", ErrChain, len(m.Layers), len(c.RootFS.DiffIDs))
	}
	img := Image{
		Digest: digest.FromBytes(manifestBytes), MediaType: mediaType,
		Config:   Config{Digest: m.Config.Digest, Size: m.Config.Size},
		Platform: c.platform(),
		Layers:   make([]Layer, len(m.Layers)),
	}
	for i, l := range m.Layers {
		diffID := c.RootFS.DiffIDs[i]
		if err := CheckDigest(diffID); err != nil {
			return Image{}, fmt.Errorf("%w: diff ID: %w", ErrChain, err)
		}
		img.Layers[i] = Layer{Digest: l.Digest, Size: l.Size, MediaType: l.MediaType, DiffID: diffID}
	}
	return img, nil
}

// HasReadable reports whether the bundle has a readable manifest of img, which is not needed
// where the layers are those that its own manifest names.
func (inv *Inventory) HasReadable(img *Image) bool { return inv.Layers == Expanded && !img.Exact() }

// Readable returns the OCI manifest over the layers of img as a bundle of Expanded layers
// holds them, which any OCI tool can read. DiffSize must be known.
func (img *Image) Readable() ([]byte, error) {
	m := v1.Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   v1.MediaTypeImageManifest,
		Config:      v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: img.Config.Digest, Size: img.Config.Size},
		Layers:      make([]v1.Descriptor, len(img.Layers)),
		Annotations: map[string]string{AnnotationDigest: img.Digest.String()},
	}
	for i, l := range img.Layers {
		m.Layers[i] = v1.Descriptor{MediaType: v1.MediaTypeImageLayer, Digest: l.DiffID, Size: l.DiffSize}
		if !l.Original {
			continue
		}
		m.Layers[i].Digest, m.Layers[i].Size = l.Digest, l.Size
		packed, err := LayerCompression(l.MediaType)
		if err != nil {
			return nil, err
		}
		if packed != "" {
			m.Layers[i].MediaType += "+" + packed
		}
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding readable manifest: %w", err)
	}
	return data, nil
}
