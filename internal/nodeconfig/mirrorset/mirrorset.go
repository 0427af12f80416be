// Package mirrorset makes the objects that send the pulls of a cluster to a mirror registry.
// Text out, with no files, clusters or clocks.
package mirrorset

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// Sets say which registries a mirror has images of. Images are in the mirror under the path
// that they have at their source.
type Sets struct {
	// Registry is the mirror's host[:port], Mirror where in it the paths begin.
	Registry, Mirror string
	// Digests and Tags are the registries, host[:port], whose images are asked for by digest,
	// and by tag.
	Digests, Tags []string
}

// mirrors is one entry of a set.
type mirrors struct {
	Mirrors []string `json:"mirrors"`
	Source  string   `json:"source"`
}

// notName are the characters that the name of an object does not have.
var notName = regexp.MustCompile(`[^a-z0-9]+`)

// Text returns an ImageDigestMirrorSet, and an ImageTagMirrorSet if there are tags, as YAML. A
// source that is the mirror itself needs no entry; if none is left the text is empty.
func Text(s Sets) (string, error) {
	var out bytes.Buffer
	for _, set := range []struct {
		kind, field string
		sources     []string
	}{
		{"ImageDigestMirrorSet", "imageDigestMirrors", s.Digests},
		{"ImageTagMirrorSet", "imageTagMirrors", s.Tags},
	} {
		var entries []mirrors
		for _, source := range set.sources {
			if source != s.Mirror {
				entries = append(entries, mirrors{Mirrors: []string{s.Mirror}, Source: source})
			}
		}
		if len(entries) == 0 {
			continue
		}
		data, err := yaml.Marshal(map[string]any{
			"apiVersion": "config.openshift.io/v1", "kind": set.kind,
			"metadata": map[string]string{"name": name(s.Registry)},
			"spec":     map[string]any{set.field: entries},
		})
		if err != nil {
			return "", fmt.Errorf("encoding an %s: %w", set.kind, err)
		}
		if out.Len() > 0 {
			out.WriteString("---\n")
		}
		out.Write(data)
	}
	return out.String(), nil
}

// name is that of the objects: one pair for each mirror.
func name(registry string) string {
	return "nodeseal-" + strings.Trim(notName.ReplaceAllString(strings.ToLower(registry), "-"), "-")
}
