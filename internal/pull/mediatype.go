package pull

import (
	"encoding/json"
	"fmt"
	"mime"
	"slices"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// mediaType returns the media type of a manifest from its bytes and from what
// the registry says. Registries and what stands before them often say nothing
// (application/json, text/plain): then the bytes decide. Two that contradict
// each other, or bytes that could be read as two kinds (CVE-2021-41190), are
// ErrMediaType.
func mediaType(data []byte, contentType string) (string, error) {
	var fields struct {
		MediaType *string          `json:"mediaType"`
		Manifests *json.RawMessage `json:"manifests"`
		Config    *json.RawMessage `json:"config"`
		Layers    *json.RawMessage `json:"layers"`
		FSLayers  *json.RawMessage `json:"fsLayers"`
	}
	if err := jsonbound.Unmarshal(data, &fields); err != nil {
		return "", fmt.Errorf("manifest is not JSON: %w: %w", ErrMediaType, err)
	}
	known := MediaTypes()
	mt := manifest.GuessMIMEType(data)
	switch {
	case fields.MediaType != nil && *fields.MediaType != "":
		mt = *fields.MediaType
	case fields.Manifests != nil:
		mt = v1.MediaTypeImageIndex // also an empty one, which looks like anything
	}
	said := withoutParameters(contentType)
	switch {
	case !slices.Contains(known, said):
	case mt == "":
		mt = said
	case mt != said && !isSchema1(mt, said):
		return "", fmt.Errorf("manifest is %s, the registry says %s: %w", mt, said, ErrMediaType)
	}
	if !slices.Contains(known, mt) {
		return "", fmt.Errorf("manifest of unknown kind %q, the registry says %q: %w", mt, said, ErrMediaType)
	}
	list, image, old := fields.Manifests != nil, fields.Config != nil || fields.Layers != nil, fields.FSLayers != nil
	wrong := list != manifest.MIMETypeIsMultiImage(mt) || old != isSchema1(mt, mt) || image == (list || old)
	if wrong {
		return "", fmt.Errorf("manifest is said to be %s but has not its fields: %w", mt, ErrMediaType)
	}
	return mt, nil
}

// isSchema1 reports whether both are schema 1: with and without signatures
// are often taken for each other.
func isSchema1(a, b string) bool {
	old := []string{manifest.DockerV2Schema1MediaType, manifest.DockerV2Schema1SignedMediaType}
	return slices.Contains(old, a) && slices.Contains(old, b)
}

// withoutParameters returns the bare media type, "" for one that is none.
func withoutParameters(contentType string) string {
	mt, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return mt
}
