package objects_test

import (
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// TestRole: which references are of operating systems.
func TestRole(t *testing.T) {
	t.Parallel()
	const text = `apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata: {name: rendered-worker-1}
spec: {osImageURL: "quay.io/os/a@sha256:AA", baseOSExtensionsContainerImage: "quay.io/app/extensions@sha256:AA"}
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineOSConfig
metadata: {name: worker}
spec: {other: "quay.io/app/builder@sha256:AA"}
status: {currentImagePullSpec: "quay.io/os/b@sha256:AA"}
---
apiVersion: machineconfiguration.openshift.io/v1alpha1
kind: MachineOSConfig
metadata: {name: old}
spec: {buildInputs: {baseOSImagePullspec: "quay.io/os/c@sha256:AA", baseOSExtensionsImagePullspec: "quay.io/app/ext@sha256:AA"}}
status: {currentImagePullspec: "quay.io/os/d@sha256:AA"}
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineOSBuild
metadata: {name: build}
status: {digestedImagePushSpec: "quay.io/os/e@sha256:AA"}
---
apiVersion: v1
kind: Node
metadata:
  name: worker-0
  annotations: {machineconfiguration.openshift.io/desiredImage: "quay.io/os/f@sha256:AA", other: "quay.io/app/note@sha256:AA"}
`
	var c objects.Collector
	err := kubeobject.Read(strings.NewReader(strings.ReplaceAll(text, "AA", strings.Repeat("a", 64))), func(o kubeobject.Object) error {
		c.Add(o)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var system, others []string
	for _, e := range c.Result().List.Entries() {
		name, _, _ := strings.Cut(e.Ref, "@")
		if e.Role == bundle.RoleOS {
			system = append(system, name)
		} else {
			others = append(others, name)
		}
		if strings.HasPrefix(name, "quay.io/os/") != (e.Role == bundle.RoleOS) {
			t.Errorf("%s has the role %q", name, e.Role)
		}
	}
	if len(system) != 6 || len(others) != 4 {
		t.Errorf("operating systems %v, others %v", system, others)
	}
}
