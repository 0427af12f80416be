// Package release reads what an OpenShift release consists of: from the
// release image at a registry, or from the files that were taken out of one.
package release

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// MaxFile bounds image-references and release-metadata, in bytes. A real
// image-references has about 150 KiB.
const MaxFile = 16 << 20

var (
	// ErrReferences is wrapped by every error about an image-references file.
	ErrReferences = errors.New("image-references is not valid")
	// ErrMetadata is wrapped by every error about a release-metadata file.
	ErrMetadata = errors.New("release-metadata is not valid")
)

// Component is one image of a payload.
type Component struct {
	// Name is the tag's: "pod", "etcd", "rhel-coreos".
	Name string
	// Ref is host/repository@digest.
	Ref string
}

// References is what image-references says.
type References struct {
	// Version is the ImageStream's name.
	Version string
	// Components are in the file's order.
	Components []Component
}

// ParseReferences reads release-manifests/image-references, an ImageStream as
// JSON. Tags that are not from a DockerImage are skipped, as oc does it. A tag
// that names its image by anything but a digest is refused: nothing could prove
// later that the right image was kept. Errors wrap ErrReferences, but for those
// of r.
func ParseReferences(r io.Reader) (*References, error) {
	data, err := readBounded(r, ErrReferences)
	if err != nil {
		return nil, err
	}
	var stream struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
		Metadata   struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Spec struct {
			Tags []kubeobject.StreamTag `json:"tags"`
		} `json:"spec"`
	}
	if err := jsonbound.Unmarshal(data, &stream); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReferences, err)
	}
	if stream.Kind != "ImageStream" || stream.APIVersion != "image.openshift.io/v1" {
		return nil, fmt.Errorf("%w: kind %q of %q, want an ImageStream of image.openshift.io/v1",
			ErrReferences, stream.Kind, stream.APIVersion)
	}
	refs := &References{Version: stream.Metadata.Name}
	seen := make(map[string]bool)
	for _, t := range stream.Spec.Tags {
		if t.From == nil || t.From.Kind != "DockerImage" {
			continue
		}
		if t.Name == "" || seen[t.Name] {
			return nil, fmt.Errorf("%w: tag %q stands twice or has no name", ErrReferences, t.Name)
		}
		seen[t.Name] = true
		ref, err := byDigest(t.From.Name)
		if err != nil {
			return nil, fmt.Errorf("%w: tag %s: %w", ErrReferences, t.Name, err)
		}
		refs.Components = append(refs.Components, Component{t.Name, ref})
	}
	if len(refs.Components) == 0 {
		return nil, fmt.Errorf("%w: no tag with an image", ErrReferences)
	}
	return refs, nil
}

// byDigest normalises ref, which must have a digest.
func byDigest(ref string) (string, error) {
	norm, err := imagelist.Normalize(ref)
	if err != nil {
		return "", err
	}
	if _, d := imagelist.Split(norm); d == "" {
		return "", fmt.Errorf("%q has no digest", ref)
	}
	return norm, nil
}

// Metadata is what release-metadata says.
type Metadata struct {
	Version string `json:"version"`
	// Previous are the versions that can be upgraded to this one.
	Previous []string `json:"previous"`
	Metadata struct {
		// URL is the erratum's.
		URL string `json:"url"`
	} `json:"metadata"`
}

// ParseMetadata reads release-manifests/release-metadata. Errors wrap
// ErrMetadata, but for those of r.
func ParseMetadata(r io.Reader) (*Metadata, error) {
	data, err := readBounded(r, ErrMetadata)
	if err != nil {
		return nil, err
	}
	var m struct {
		Kind string `json:"kind"`
		Metadata
	}
	if err := jsonbound.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMetadata, err)
	}
	if !strings.HasPrefix(m.Kind, "cincinnati-metadata-") || m.Version == "" {
		return nil, fmt.Errorf("%w: kind %q, version %q", ErrMetadata, m.Kind, m.Version)
	}
	return &m.Metadata, nil
}

func readBounded(r io.Reader, sentinel error) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading release: %w", err)
	}
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%w: longer than %d bytes", sentinel, MaxFile)
	}
	return data, nil
}
