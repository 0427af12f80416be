package outside

import (
	"cmp"
	"fmt"

	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

type subscription struct {
	Spec struct {
		Source          string `json:"source"`
		SourceNamespace string `json:"sourceNamespace"`
		Package         string `json:"name"`
		Approval        string `json:"installPlanApproval"`
	} `json:"spec"`
}

// subscriptions finds operators that OLM updates by itself. Whatever is not Manual is Automatic, and
// one Manual subscription makes a namespace's install plans Manual (operator-framework/
// operator-lifecycle-manager, pkg/controller/operators/catalog/operator.go). A catalog by digest has
// no newer versions tomorrow.
func (o Objects) subscriptions() (out []rule.Finding) {
	manual := make(map[string]bool)
	each(o, subscriptions, func(obj kubeobject.Object, v subscription) {
		manual[obj.Metadata.Namespace] = manual[obj.Metadata.Namespace] || v.Spec.Approval == "Manual"
	})
	known := len(o[catalogSources])+len(o[operatorHubs]) > 0
	each(o, subscriptions, func(obj kubeobject.Object, v subscription) {
		changes, there := o.changes(v.Spec.SourceNamespace, v.Spec.Source)
		if manual[obj.Metadata.Namespace] || there && !changes || known && !there {
			return
		}
		f := rule.Finding{
			Rule: "automatic-approval", Severity: rule.Warning, Object: obj.String(),
			What: fmt.Sprintf("The operator %s is updated by itself from the catalog %s.", cmp.Or(v.Spec.Package, obj.Metadata.Name), v.Spec.Source),
			Why:  "A version that comes out after the list was made is installed by itself: its images are in no bundle, and its pods wait for a registry.",
			Mend: "Set installPlanApproval to Manual before you make the list.",
			Patch: rule.Patch(obj.Metadata.Namespace, "subscription.operators.coreos.com/"+obj.Metadata.Name, "merge", map[string]any{
				"spec": map[string]any{"installPlanApproval": "Manual"},
			}),
		}
		if !there {
			f.Severity = rule.Note
			f.What += " The catalog is not among the objects: one by digest changes nothing."
		}
		out = append(out, f)
	})
	return out
}

// changes reports whether a catalog's content can change while it is there: its image is named by
// tag, or it is a server at an address.
func (o Objects) changes(namespace, name string) (changes, there bool) {
	type catalog struct {
		Spec struct {
			Image   string `json:"image"`
			Address string `json:"address"`
		} `json:"spec"`
	}
	each(o, catalogSources, func(obj kubeobject.Object, v catalog) {
		if obj.Metadata.Name == name && obj.Metadata.Namespace == namespace {
			there = true
			changes = v.Spec.Address != "" || v.Spec.Image != "" && !byDigest(v.Spec.Image)
		}
	})
	return changes, there
}

// managedSample is the label of what the samples operator makes (openshift/cluster-samples-operator,
// pkg/stub/imagestreams.go).
const managedSample = "samples.operator.openshift.io/managed"

// samples finds image streams of the samples operator that it no longer manages, as its Config says:
// of one that was not read nothing is known, and the operator makes deleted streams again. While it
// manages them, the audit says so of its Config.
func (o Objects) samples() []rule.Finding {
	left := false
	type config struct {
		Spec struct {
			State string `json:"managementState"`
		} `json:"spec"`
	}
	each(o, samplesConfigs, func(_ kubeobject.Object, v config) {
		left = v.Spec.State == "Removed" || v.Spec.State == "Unmanaged"
	})
	streams, without := 0, 0
	each(o, imageStreams, func(obj kubeobject.Object, v kubeobject.ImageStream) {
		if obj.Metadata.Labels[managedSample] != "true" || obj.Metadata.Namespace != "openshift" {
			return
		}
		streams++
		for _, t := range v.Status.Tags {
			if len(t.Items) == 0 {
				without++
			}
		}
	})
	if !left || streams == 0 {
		return nil
	}
	return []rule.Finding{{
		Rule: "samples-left", Severity: rule.Note, Object: "ImageStreams openshift",
		What:  fmt.Sprintf("Image streams of the samples operator are left: %d, of whose tags %d were never imported.", streams, without),
		Why:   "Templates, the console and `oc new-app` offer them; what is built or started from them asks registry.redhat.io.",
		Mend:  "Delete them: no part of the release needs one.",
		Patch: "oc -n openshift delete imagestreams -l " + managedSample + "=true",
	}}
}
