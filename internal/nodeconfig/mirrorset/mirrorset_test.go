package mirrorset_test

import (
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
			Registry: "registry.example:5000", Mirror: "registry.example:5000/ocp", Digests: []string{"quay.io", "registry.redhat.io"}, Tags: []string{"quay.io"},
		}, `apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: nodeseal-registry-example-5000
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
  name: nodeseal-registry-example-5000
spec:
  imageTagMirrors:
  - mirrors:
    - registry.example:5000/ocp
    source: quay.io
`},
		{"back into the source", mirrorset.Sets{Registry: "quay.io", Mirror: "quay.io", Digests: []string{"quay.io"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, err := mirrorset.Text(tt.sets); err != nil || got != tt.want {
				t.Errorf("%v\n%s", err, got)
			}
		})
	}
}
