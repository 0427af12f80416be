package cluster

import (
	"errors"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
)

// kind is one kind of object to list.
type kind struct {
	schema.GroupVersion
	Resource string
	Kind     string
	// Namespaced kinds are tried namespace by namespace where the whole cluster
	// is forbidden.
	Namespaced bool
	// Namespace, where set, is the only one to look into.
	Namespace string
	// Selector leaves out objects by label.
	Selector string
	// Custom kinds are those that somebody defined in this cluster.
	Custom bool
}

// name is resource.group, as in kubectl.
func (k kind) name() string {
	if k.Group == "" {
		return k.Resource
	}
	return k.Resource + "." + k.Group
}

// path is the URL path of the list in a namespace, or of all where that is "".
func (k kind) path(namespace string) string {
	p := "/apis/" + k.Group
	if k.Group == "" {
		p = "/api"
	}
	p += "/" + k.Version
	if namespace != "" {
		p += "/namespaces/" + namespace
	}
	return p + "/" + k.Resource
}

// builtIn lists what is read of the kinds that an API server has by itself; all
// others of their groups name no images.
func builtIn() map[string][]string {
	return map[string][]string{
		"":      {"pods", "nodes", "configmaps", "replicationcontrollers", "podtemplates"},
		"apps":  {"deployments", "daemonsets", "statefulsets", "replicasets"},
		"batch": {"jobs", "cronjobs"},
		// OpenShift's own API servers.
		"apps.openshift.io":             {"deploymentconfigs"},
		"build.openshift.io":            {"buildconfigs"},
		"image.openshift.io":            {"imagestreams"},
		"route.openshift.io":            {"routes"},
		"authorization.openshift.io":    nil,
		"oauth.openshift.io":            nil,
		"project.openshift.io":          nil,
		"quota.openshift.io":            nil,
		"security.openshift.io":         nil,
		"template.openshift.io":         nil,
		"user.openshift.io":             nil,
		"packages.operators.coreos.com": nil,
		// Kubernetes' own.
		"admissionregistration.k8s.io": nil,
		"apiextensions.k8s.io":         nil,
		"apiregistration.k8s.io":       nil,
		"authentication.k8s.io":        nil,
		"authorization.k8s.io":         nil,
		"autoscaling":                  nil,
		"certificates.k8s.io":          nil,
		"coordination.k8s.io":          nil,
		"custom.metrics.k8s.io":        nil,
		"discovery.k8s.io":             nil,
		"events.k8s.io":                nil,
		"external.metrics.k8s.io":      nil,
		"flowcontrol.apiserver.k8s.io": nil,
		"internal.apiserver.k8s.io":    nil,
		"metrics.k8s.io":               nil,
		"networking.k8s.io":            nil,
		"node.k8s.io":                  nil,
		"policy":                       nil,
		"rbac.authorization.k8s.io":    nil,
		"resource.k8s.io":              nil,
		"scheduling.k8s.io":            nil,
		"storage.k8s.io":               nil,
		"storagemigration.k8s.io":      nil,
	}
}

// kinds asks the cluster which kinds it has. A group whose server does not
// answer becomes a problem, where something of it would be read.
func (c *Client) kinds() ([]kind, []objects.Problem, error) {
	lists, err := c.discovery.ServerPreferredResources()
	known := builtIn()
	var problems []objects.Problem
	var failed *discovery.ErrGroupDiscoveryFailed
	if errors.As(err, &failed) {
		for gv, err := range failed.Groups {
			if names, ours := known[gv.Group]; ours && len(names) == 0 {
				continue // nothing would be read of it
			}
			problems = append(problems, objects.Problem{From: bundle.Origin{Source: "cluster", Kind: "APIService " + gv.String()}, Err: err})
		}
	} else if err != nil {
		return nil, nil, err
	}
	var kinds []kind
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range list.APIResources {
			if k, ok := wanted(gv, r, known); ok {
				kinds = append(kinds, k)
			}
		}
	}
	slices.SortFunc(kinds, func(a, b kind) int { return strings.Compare(a.name(), b.name()) })
	return kinds, problems, nil
}

// wanted decides about one resource of a cluster.
func wanted(gv schema.GroupVersion, r metav1.APIResource, known map[string][]string) (kind, bool) {
	if strings.Contains(r.Name, "/") || !slices.Contains(r.Verbs, "list") {
		return kind{}, false
	}
	names, ours := known[gv.Group]
	if ours && !slices.Contains(names, r.Name) {
		return kind{}, false
	}
	k := kind{GroupVersion: gv, Resource: r.Name, Kind: r.Kind, Namespaced: r.Namespaced, Custom: !ours}
	switch k.name() {
	case "routes.route.openshift.io":
		k.Namespace = "openshift-image-registry"
	case "clusterserviceversions.operators.coreos.com":
		k.Selector = "!olm.copiedFrom"
	}
	return k, !slices.Contains(objects.Ignored(), r.Kind+"."+gv.Group)
}
