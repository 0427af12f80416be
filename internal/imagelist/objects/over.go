package objects

import (
	"strings"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// revisionStatus begins the names of the ConfigMaps that own the copies which
// the operators of static pods keep of each revision.
const revisionStatus = "revision-status-"

// Over reports objects that name images which nothing starts any more: pods and
// jobs that have ended, what a deployment ran before its present revision, and
// earlier revisions of static pods. What runs of those is a pod of its own, and
// what will run has an unnumbered original. A list keeps their images, for a
// rollback; who asks what a cluster needs now leaves them out.
func Over(o kubeobject.Object) bool {
	switch o.GroupKind() {
	case "Pod":
		p, _, err := o.Pod()
		return err == nil && (p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed")
	case "ReplicaSet.apps", "ReplicationController":
		w, _, err := o.Template()
		return err == nil && w.Replicas != nil && *w.Replicas == 0 && len(o.Metadata.Owners) > 0
	case "Job.batch":
		return ended(o)
	case "ConfigMap":
		for _, owner := range o.Metadata.Owners {
			if owner.Kind == "ConfigMap" && strings.HasPrefix(owner.Name, revisionStatus) {
				return true
			}
		}
	}
	return false
}

// ended reports a job that will make no more pods.
func ended(o kubeobject.Object) bool {
	var v struct {
		Status struct {
			Conditions []struct {
				Type   string `json:"type"`
				Status string `json:"status"`
			} `json:"conditions"`
		} `json:"status"`
	}
	if o.Decode(&v) != nil {
		return false
	}
	for _, c := range v.Status.Conditions {
		if (c.Type == "Complete" || c.Type == "Failed") && c.Status == "True" {
			return true
		}
	}
	return false
}
