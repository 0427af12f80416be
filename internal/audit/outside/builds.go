package outside

import (
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// from is a reference to an image, of openshift/api, build/v1/types.go.
type from struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

type strategy struct {
	From *from `json:"from"`
}

// builds finds builds whose images come from a registry outside. A build pulls in its pod, into a
// store that is an emptyDir (openshift/openshift-controller-manager, pkg/build/controller/strategy/util.go,
// setupContainersStorage; openshift/builder, pkg/build/builder/daemonless.go). A Dockerfile in a git
// repository may name further images, which no object says.
func (o Objects) builds() (out []rule.Finding) {
	type buildConfig struct {
		Spec struct {
			Strategy struct {
				Docker strategy `json:"dockerStrategy"`
				Source strategy `json:"sourceStrategy"`
				Custom strategy `json:"customStrategy"`
			} `json:"strategy"`
			Source struct {
				Images []strategy `json:"images"`
			} `json:"source"`
		} `json:"spec"`
	}
	each(o, buildConfigs, func(obj kubeobject.Object, v buildConfig) {
		var asks []string
		for _, s := range append(v.Spec.Source.Images, v.Spec.Strategy.Docker, v.Spec.Strategy.Source, v.Spec.Strategy.Custom) {
			if s.From != nil {
				if image := o.outside(obj.Metadata.Namespace, *s.From); image != "" {
					asks = append(asks, image)
				}
			}
		}
		if len(asks) == 0 {
			return
		}
		slices.Sort(asks)
		out = append(out, rule.Finding{
			Rule: "build-from-registry", Severity: rule.Warning, Object: obj.String(),
			What: "It builds from " + few(slices.Compact(asks)) + ".",
			Why:  "A build pulls its images in its own pod, into a store of its own: neither the slots nor `nodeseal serve` on the node are asked, and with no registry it fails.",
			Mend: "Build at the staging site and take the result into the bundle; or push the base image into the cluster's own registry and build from that ImageStreamTag.",
		})
	})
	return out
}

// outside names the image that f makes a build pull from a registry outside, "" if none.
func (o Objects) outside(namespace string, f from) string {
	switch f.Kind {
	case "DockerImage":
		if o.inOwnRegistry(f.Name) {
			return ""
		}
		return f.Name
	case "ImageStreamTag":
		if f.Namespace != "" {
			namespace = f.Namespace
		}
		stream, tag, ok := strings.Cut(f.Name, ":")
		if !ok {
			tag = "latest"
		}
		return o.imported(namespace, stream, tag)
	}
	return "" // an ImageStreamImage is in the cluster's registry or not: its stream does not say
}

// inOwnRegistry reports images of the registry of the cluster itself: by the names of its service, which
// every node knows (openshift/cluster-dns-operator, assets/node-resolver/update-node-resolver.sh), or
// by the one that image streams name it by (openshift/api, config/v1/types_image.go).
func (o Objects) inOwnRegistry(image string) bool {
	host, _, _ := strings.Cut(image, "/")
	switch host {
	case "":
		return false
	case "image-registry.openshift-image-registry.svc:5000", "image-registry.openshift-image-registry.svc.cluster.local:5000":
		return true
	}
	type config struct {
		Status struct {
			Internal string `json:"internalRegistryHostname"`
		} `json:"status"`
	}
	named := false
	each(o, imageConfigs, func(_ kubeobject.Object, v config) { named = named || v.Status.Internal == host })
	return named
}

// imported names what the tag of a stream was imported from, "" if it was pushed to the cluster's
// own registry, or if nothing is known of it.
func (o Objects) imported(namespace, stream, tag string) (image string) {
	each(o, imageStreams, func(obj kubeobject.Object, v kubeobject.ImageStream) {
		if obj.Metadata.Namespace != namespace || obj.Metadata.Name != stream {
			return
		}
		for _, t := range v.Status.Tags {
			if t.Tag == tag && len(t.Items) > 0 && !o.inOwnRegistry(t.Items[0].Ref) {
				image = t.Items[0].Ref
			}
		}
	})
	return image
}
