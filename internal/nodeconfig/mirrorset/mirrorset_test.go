package mirrorset_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/mirrorset"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		sets mirrorset.Sets
		want string
	}{
		{"digests and tags", mirrorset.Sets{
			Mirror: "registry.example:5000/ocp", Digests: []string{"quay.io", "registry.redhat.io"}, Tags: []string{"quay.io"},
		}, `apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: nodeseal-registry-example-5000-ocp-7ff1ba41
spec:
  imageDigestMirrors:
  - mirrors:
    - registry.example:5000/ocp
    source: quay.io
  - mirrors:
    - registry.example:5000/ocp
    source: registry.redhat.io
---
apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata:
  name: nodeseal-registry-example-5000-ocp-9ce62341
spec:
  imageTagMirrors:
  - mirrors:
    - registry.example:5000/ocp
    source: quay.io
`},
		{"back into the source", mirrorset.Sets{Mirror: "quay.io", Digests: []string{"quay.io"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, err := mirrorset.Text(tt.sets); err != nil || got != tt.want {
				t.Errorf("%v\n%s", err, got)
			}
		})
	}
}

// An object that is applied replaces one of its name: other mirrors and other sources have other
// names, and the same ones the same.
func TestNames(t *testing.T) {
	t.Parallel()
	seen := make(map[string]mirrorset.Sets)
	for _, s := range []mirrorset.Sets{
		{Mirror: "registry.example:5000/ocp", Digests: []string{"quay.io"}},
		{Mirror: "registry.example:5000/rec", Digests: []string{"quay.io"}},
		{Mirror: "registry.example:5000/ocp", Digests: []string{"quay.io", "registry.redhat.io"}},
		{Mirror: "registry.example-5000/ocp", Digests: []string{"quay.io"}},
		{Mirror: "registry.example:5000", Digests: []string{"quay.io"}},
		{Mirror: "registry.example:5000/" + strings.Repeat("long/", 60) + "a", Digests: []string{"quay.io"}},
		{Mirror: "registry.example:5000/" + strings.Repeat("long/", 60) + "b", Digests: []string{"quay.io"}},
	} {
		text, err := mirrorset.Text(s)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(text, "  name: ")
		name, _, _ = strings.Cut(name, "\n")
		if other, ok := seen[name]; ok || len(name) > 63 || !regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])$`).MatchString(name) {
			t.Errorf("%q of %+v, taken by %+v", name, s, other)
		}
		seen[name] = s
	}
}
