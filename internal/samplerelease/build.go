package samplerelease

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// The media types of Docker's image manifest, version 2, schema 2.
const (
	dockerManifest   = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList       = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig     = "application/vnd.docker.container.image.v1+json"
	dockerLayer      = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	dockerLayerPlain = "application/vnd.docker.image.rootfs.diff.tar"
)

// manifest is a manifest or list as a registry holds it.
type manifest struct {
	repo      string
	tags      []string
	digest    digest.Digest
	mediaType string
	raw       []byte
	// config and layers are the blobs that the manifest names, none for a list.
	config v1.Descriptor
	layers []v1.Descriptor
}

// builder makes images one after another, each distinct layer once.
type builder struct {
	singleUID bool
	release   *Release
	// blobOf is the compressed blob of a plain tar, by its diff ID.
	blobOf map[digest.Digest]map[compression]v1.Descriptor
}

func newBuilder(singleUID bool) *builder {
	return &builder{
		singleUID: singleUID,
		release:   &Release{blobs: make(map[digest.Digest][]byte)},
		blobOf:    make(map[digest.Digest]map[compression]v1.Descriptor),
	}
}

// add makes the image of spec and puts it into the release.
func (b *builder) add(spec imageSpec) error {
	m, diffIDs, err := b.instance(spec, "amd64", spec.layers)
	if err != nil {
		return err
	}
	img := Image{Name: spec.name, Manifest: m.digest, MediaType: m.mediaType, Config: m.config.Digest, DiffIDs: diffIDs}
	named := &m
	if spec.listed {
		arm, _, err := b.instance(spec, "arm64", spec.arm)
		if err != nil {
			return err
		}
		list, err := listOf(spec, []manifest{m, arm}, []string{"amd64", "arm64"})
		if err != nil {
			return err
		}
		b.release.manifests = append(b.release.manifests, m, arm)
		img.Index, named = list.digest, &list
	}
	named.tags = []string{spec.name}
	b.release.manifests = append(b.release.manifests, *named)
	img.Ref = Prefix + "/" + spec.repo + "@" + named.digest.String()
	b.release.Images = append(b.release.Images, img)
	return nil
}

// instance makes the manifest of spec for one architecture, with its config and
// layers.
func (b *builder) instance(spec imageSpec, arch string, layers []tree) (manifest, []digest.Digest, error) {
	created := time.Unix(epoch, 0).UTC()
	config := v1.Image{
		Created:  &created,
		Platform: v1.Platform{OS: "linux", Architecture: arch},
		Config: v1.ImageConfig{
			Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Entrypoint: spec.program,
			Labels:     spec.labels,
		},
		RootFS: v1.RootFS{Type: "layers"},
	}
	var descs []v1.Descriptor
	for i, t := range layers {
		desc, diffID, err := b.layer(t, spec.as, spec.oci)
		if err != nil {
			return manifest{}, nil, fmt.Errorf("layer %d: %w", i, err)
		}
		descs = append(descs, desc)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
		config.History = append(config.History, v1.History{Created: &created, CreatedBy: fmt.Sprintf("made-up layer %d", i)})
	}
	configType := dockerConfig
	if spec.oci {
		configType = v1.MediaTypeImageConfig
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return manifest{}, nil, fmt.Errorf("encoding config: %w", err)
	}
	m := manifest{repo: spec.repo, mediaType: dockerManifest, config: b.blob(raw, configType), layers: descs}
	if spec.oci {
		m.mediaType = v1.MediaTypeImageManifest
	}
	m.raw, err = json.MarshalIndent(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: m.mediaType, Config: m.config, Layers: descs,
	}, "", "   ")
	if err != nil {
		return manifest{}, nil, fmt.Errorf("encoding manifest: %w", err)
	}
	m.digest = digest.FromBytes(m.raw)
	return m, config.RootFS.DiffIDs, nil
}

// layer makes the blob of t, or finds the one that is there.
func (b *builder) layer(t tree, as compression, oci bool) (v1.Descriptor, digest.Digest, error) {
	data, err := t.tar(b.singleUID)
	if err != nil {
		return v1.Descriptor{}, "", err
	}
	diffID := digest.FromBytes(data)
	desc, ok := b.blobOf[diffID][as]
	if !ok {
		compressed, err := as.compress(data)
		if err != nil {
			return v1.Descriptor{}, "", err
		}
		desc = b.blob(compressed, "")
		if b.blobOf[diffID] == nil {
			b.blobOf[diffID] = make(map[compression]v1.Descriptor)
		}
		b.blobOf[diffID][as] = desc
	}
	desc.MediaType = layerType(as, oci)
	return desc, diffID, nil
}

// layerType is the media type of a layer. Docker's manifests know no zstd.
func layerType(as compression, oci bool) string {
	switch {
	case oci && as == zstandard:
		return v1.MediaTypeImageLayerZstd
	case oci && as == plain:
		return v1.MediaTypeImageLayer
	case oci:
		return v1.MediaTypeImageLayerGzip
	case as == plain:
		return dockerLayerPlain
	default:
		return dockerLayer
	}
}

func (b *builder) blob(data []byte, mediaType string) v1.Descriptor {
	d := digest.FromBytes(data)
	b.release.blobs[d] = data
	return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

// listOf makes the index or manifest list of instances, one for each
// architecture.
func listOf(spec imageSpec, instances []manifest, archs []string) (manifest, error) {
	mediaType := dockerList
	if spec.oci {
		mediaType = v1.MediaTypeImageIndex
	}
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: mediaType}
	for i, m := range instances {
		index.Manifests = append(index.Manifests, v1.Descriptor{
			MediaType: m.mediaType, Digest: m.digest, Size: int64(len(m.raw)),
			Platform: &v1.Platform{OS: "linux", Architecture: archs[i]},
		})
	}
	raw, err := json.MarshalIndent(index, "", "   ")
	if err != nil {
		return manifest{}, fmt.Errorf("encoding list: %w", err)
	}
	return manifest{repo: spec.repo, mediaType: mediaType, raw: raw, digest: digest.FromBytes(raw)}, nil
}
