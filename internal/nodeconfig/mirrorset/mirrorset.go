// Package mirrorset makes the objects that send the pulls of a cluster to a mirror registry.
// Text out, with no files, clusters or clocks.
package mirrorset

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// Sets say which registries a mirror has images of. Images are in the mirror under the path
// that they have at their source.
type Sets struct {
	// Mirror is host[:port][/path]: where the paths begin.
	Mirror string
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
			"metadata": map[string]string{"name": name(s.Mirror, entries)},
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

// maxReadable bounds the part of a name that people read, in bytes.
const maxReadable = 40

// name is an object's. Another mirror or other sources give another name: an object that is
// applied must not replace an earlier one that the cluster still needs.
func name(mirror string, entries []mirrors) string {
	sum := sha256.New()
	fmt.Fprintln(sum, mirror)
	for _, e := range entries {
		fmt.Fprintln(sum, e.Source)
	}
	readable := notName.ReplaceAllString(strings.ToLower(mirror), "-")
	readable = strings.Trim(readable[:min(len(readable), maxReadable)], "-")
	return fmt.Sprintf("nodeseal-%s-%x", readable, sum.Sum(nil)[:4])
}
