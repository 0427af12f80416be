package answer

import (
	"net/http"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// head is what is read of a manifest.
type head struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Config       v1.Descriptor     `json:"config"`
	Subject      *v1.Descriptor    `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

// subjectOf returns the manifest that a manifest is about, "" where it names none.
func subjectOf(data []byte) digest.Digest {
	var m head
	if jsonbound.Unmarshal(data, &m) != nil || m.Subject == nil {
		return ""
	}
	return m.Subject.Digest
}

// mediaTypeOf returns the type of a manifest, as its text has it or lets guess.
func mediaTypeOf(data []byte) string {
	var m head
	if jsonbound.Unmarshal(data, &m) == nil && m.MediaType != "" {
		return m.MediaType
	}
	if jsonbound.Check(data) == nil { // the library does not count what it decodes
		if guess := manifest.GuessMIMEType(data); guess != "" {
			return guess
		}
	}
	return v1.MediaTypeImageManifest
}

// manifest answers GET and HEAD /v2/<name>/manifests/<reference>.
func (h *Handler) manifest(w http.ResponseWriter, r *http.Request, rt route) error {
	d := rt.digest
	if rt.tag != "" {
		snap := h.stores.current()
		names := snap.names(rt.name, r.URL.Query().Get("ns"))
		if len(names) == 0 {
			return errNameUnknown(rt.name)
		}
		var ok bool
		if d, ok = snap.tag(names, rt.tag); !ok {
			return errManifestUnknown(rt.name, "tag "+rt.tag)
		}
	}
	snap := h.stores.current()
	if m, ok := snap.kept.get(d); ok {
		content(w, r, d, m.mediaType, m.data)
		return nil
	}
	data, err := h.read(func(s *snapshot) ([]byte, error) { return s.manifest(d) })
	if unknown(err) {
		return errManifestUnknown(rt.name, d.String())
	}
	if err != nil {
		return err
	}
	mediaType := mediaTypeOf(data)
	snap.kept.put(d, keptManifest{data, mediaType})
	content(w, r, d, mediaType, data)
	return nil
}
