package outside

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// layering finds pools whose operating system the cluster builds itself. A rendered configuration
// that changes starts a build: its pod's containers have imagePullPolicy Always, buildah pulls the base
// image into a store of its own (vfs) and pushes the result (openshift/machine-config-operator,
// docs/MachineOSBuilderDesign.md, pkg/controller/build/buildrequest/buildrequest.go and its assets).
func (o Objects) layering() (out []rule.Finding) {
	type osConfig struct {
		Spec struct {
			Pool struct {
				Name string `json:"name"`
			} `json:"machineConfigPool"`
			Push string `json:"renderedImagePushSpec"`
		} `json:"spec"`
	}
	each(o, osConfigs, func(obj kubeobject.Object, v osConfig) {
		out = append(out, rule.Finding{
			Rule: "on-cluster-layering", Severity: rule.Breaks, Object: obj.String(),
			What: fmt.Sprintf("The cluster builds the operating system of the pool %s itself, and pushes it to %s.",
				cmp.Or(v.Spec.Pool.Name, obj.Metadata.Name), cmp.Or(v.Spec.Push, "a registry")),
			Why: "An upgrade, and each change of the pool's configuration, starts a build that pulls the base image into a store of its own and pushes the result: " +
				"with no registry it fails, and the pool stays as it is.",
			Mend: "Build the image at the staging site, take it into the bundle, and name it by digest as osImageURL of a MachineConfig of the pool. " +
				"Delete the MachineOSConfig while the registry is still there: the MCO deletes its builds with it.",
		})
	})
	return out
}

type condition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
	Reason string `json:"reason"`
}

// internalRelease finds OpenShift's own registry on control planes. It has release bundles (releases
// and operators), and a release may be pulled where Available is True and Degraded is False
// (openshift/api, machineconfiguration/v1/types_internalreleaseimage.go). It listens at port 22625
// of control planes, and other nodes ask it by the name api-int (openshift/machine-config-operator,
// pkg/controller/common/iri_secret_merger.go and pkg/controller/internalreleaseimage).
func (o Objects) internalRelease() (out []rule.Finding) {
	type release struct {
		Name       string      `json:"name"`
		Conditions []condition `json:"conditions"`
	}
	type internal struct {
		Status struct {
			Releases []release `json:"releases"`
		} `json:"status"`
	}
	each(o, internalReleases, func(obj kubeobject.Object, v internal) {
		f := rule.Finding{
			Rule: "internal-release-image", Severity: rule.Note, Object: obj.String(),
			What: "The control planes have OpenShift's own registry, on port 22625.",
			Why: "It has release bundles and no images of your own, and the other nodes ask it by the name api-int: " +
				"they need that name and a control plane to start pods, while slots need neither.",
			Mend: "Keep the slots for all that is not in a release bundle, and for nodes that start before a control plane. Two copies of a release take twice its space on control planes.",
		}
		var bad []string
		for _, r := range v.Status.Releases {
			status := func(name, want string) bool {
				return slices.ContainsFunc(r.Conditions, func(c condition) bool { return c.Type == name && c.Status == want })
			}
			if !status("Available", "True") || status("Degraded", "True") {
				bad = append(bad, r.Name)
			}
		}
		if len(bad) > 0 {
			f.Severity = rule.Warning
			f.What += " Not available there: " + few(bad) + "."
			f.Mend = "Do not build on it: `oc describe internalreleaseimage cluster` says why. What the nodes' slots hold does not depend on it."
		}
		out = append(out, f)
	})
	return out
}
