package outside

import (
	"net/url"

	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

type updateService struct {
	Spec struct {
		Releases  string `json:"releases"`
		GraphData string `json:"graphDataImage"`
	} `json:"spec"`
	Status struct {
		URI string `json:"policyEngineURI"`
	} `json:"status"`
}

// updateServices finds graph data by tag. The init container pulls the graph data Always, and for a
// tag a pod named graph-data-tag-digest pulls it again every five minutes (openshift/cincinnati-operator,
// controllers/new.go and controllers/updateservice_controller.go).
func (o Objects) updateServices() (out []rule.Finding) {
	each(o, updateServices, func(obj kubeobject.Object, v updateService) {
		if v.Spec.GraphData == "" || byDigest(v.Spec.GraphData) {
			return
		}
		out = append(out, rule.Finding{
			Rule: "graph-data-by-tag", Severity: rule.Warning, Object: obj.String(),
			What: "graphDataImage names its image by tag: " + v.Spec.GraphData + ".",
			Why: "The operator starts a pod every five minutes that pulls the tag with imagePullPolicy Always, to see whether it has changed; with no registry none starts, " +
				"and the update service has no graph.",
			Mend: "Name the image by digest, take it into the list, and let `nodeseal serve` answer for its repository: the service's own pod pulls with Always too.",
		})
	})
	return out
}

// channel finds a cluster version operator that asks for updates. With no channel it asks nobody
// and says NoChannel, which the alert leaves out; else it asks spec.upstream or api.openshift.com, and
// the alert CannotRetrieveUpdates comes after an hour (openshift/cluster-version-operator,
// pkg/cvo/availableupdates.go and install/0000_90_cluster-version-operator_02_servicemonitor.yaml).
func (o Objects) channel() (out []rule.Finding) {
	type clusterVersion struct {
		Spec struct {
			Channel  string `json:"channel"`
			Upstream string `json:"upstream"`
		} `json:"spec"`
	}
	each(o, clusterVersions, func(obj kubeobject.Object, v clusterVersion) {
		asks := v.Spec.Upstream
		if v.Spec.Channel == "" || asks != "" && o.answers(asks) {
			return
		}
		if asks == "" {
			asks = "api.openshift.com"
		}
		out = append(out, rule.Finding{
			Rule: "update-channel", Severity: rule.Note, Object: obj.String(),
			What:  "The cluster asks " + asks + " for updates of the channel " + v.Spec.Channel + ".",
			Why:   "With no answer the condition RetrievedUpdates is False, and after an hour the alert CannotRetrieveUpdates fires for ever.",
			Mend:  "Clear the channel. An upgrade then names its image: `oc adm upgrade --to-image IMAGE --allow-explicit-upgrade`.",
			Patch: rule.Patch("", "clusterversion/"+obj.Metadata.Name, "merge", map[string]any{"spec": map[string]any{"channel": ""}}),
		})
	})
	return out
}

// answers reports whether an update service of this cluster has the host of the URL.
func (o Objects) answers(upstream string) bool {
	found := false
	each(o, updateServices, func(_ kubeobject.Object, v updateService) {
		a, errA := url.Parse(upstream)
		b, errB := url.Parse(v.Status.URI)
		found = found || errA == nil && errB == nil && a.Host != "" && a.Host == b.Host
	})
	return found
}
