package answer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// listTags answers GET /v2/<name>/tags/list, with n and last.
func (h *Handler) listTags(w http.ResponseWriter, r *http.Request, name string) error {
	query := r.URL.Query()
	snap := h.stores.current()
	names := snap.names(name, query.Get("ns"))
	if len(names) == 0 {
		return errNameUnknown(name)
	}
	tags := snap.tags(names)
	if last := query.Get("last"); last != "" {
		i, found := slices.BinarySearch(tags, last)
		if found {
			i++
		}
		tags = tags[i:]
	}
	if n, err := strconv.Atoi(query.Get("n")); err == nil && n >= 0 && n < len(tags) {
		tags = tags[:n]
		if n > 0 {
			next := url.Values{"n": {strconv.Itoa(n)}, "last": {tags[n-1]}}
			if ns := query.Get("ns"); ns != "" {
				next.Set("ns", ns)
			}
			w.Header().Set("Link", fmt.Sprintf(`</v2/%s/tags/list?%s>; rel="next"`, name, next.Encode()))
		}
	}
	return writeDocument(w, r, "application/json", struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{name, append([]string{}, tags...)})
}

// listReferrers answers GET /v2/<name>/referrers/<digest>, with artifactType. What
// has no referrers has an empty list.
func (h *Handler) listReferrers(w http.ResponseWriter, r *http.Request, subject digest.Digest) error {
	wanted := r.URL.Query().Get("artifactType")
	index := v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{},
	}
	for _, d := range h.stores.current().referrers(subject) {
		data, err := h.read(func(s *snapshot) ([]byte, error) { return s.manifest(d) })
		if err != nil {
			return err
		}
		var m head
		if err := jsonbound.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("referrer %s: %w", d, err)
		}
		if m.ArtifactType == "" {
			m.ArtifactType = m.Config.MediaType
		}
		if wanted == "" || wanted == m.ArtifactType {
			index.Manifests = append(index.Manifests, v1.Descriptor{
				MediaType: mediaTypeOf(data), Digest: d, Size: int64(len(data)),
				ArtifactType: m.ArtifactType, Annotations: m.Annotations,
			})
		}
	}
	if wanted != "" {
		w.Header().Set("Oci-Filters-Applied", "artifactType")
	}
	return writeDocument(w, r, v1.MediaTypeImageIndex, index)
}

func writeDocument(w http.ResponseWriter, r *http.Request, mediaType string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding answer: %w", err)
	}
	writeJSON(w, r, http.StatusOK, mediaType, body)
	return nil
}
