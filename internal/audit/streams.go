package audit

import (
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

const imageStreams = "ImageStream.image.openshift.io"

// scheduledImports finds tags that OpenShift imports again and again.
func scheduledImports(s *Snapshot) []Finding {
	var out []Finding
	for _, o := range s.Settings[imageStreams] {
		var v kubeobject.ImageStream
		if o.Decode(&v) != nil {
			continue
		}
		for i, t := range v.Spec.Tags {
			if !t.Import.Scheduled {
				continue
			}
			out = append(out, Finding{
				Rule: "scheduled-import", Severity: Note, Object: o.String() + " tag " + t.Name,
				What: "The tag is imported on a schedule.",
				Why:  "Imports run in pods of the API server, which no registry on a node can answer: each fails, for ever.",
				Mend: "Turn the schedule off.",
				Patch: rule.Patch(o.Metadata.Namespace, "imagestream/"+o.Metadata.Name, "json", []map[string]any{{
					"op": "replace", "path": fmt.Sprintf("/spec/tags/%d/importPolicy/scheduled", i), "value": false,
				}}),
			})
		}
	}
	return out
}

// importedDigests finds imports whose image is not held.
func importedDigests(s *Snapshot) []Finding {
	if s.Held == nil {
		return nil
	}
	var out []Finding
	for _, o := range s.Settings[imageStreams] {
		var v kubeobject.ImageStream
		if o.Decode(&v) != nil {
			continue
		}
		for _, t := range v.Status.Tags {
			if len(t.Items) == 0 || s.Held.digests[digest.Digest(t.Items[0].Image)] {
				continue
			}
			if ref, err := imagelist.Normalize(t.Items[0].Ref); err == nil && s.Held.has(ref) {
				continue
			}
			out = append(out, Finding{
				Rule: "stream-not-held", Severity: Warning, Object: o.String() + " tag " + t.Tag,
				What: capital(s.Held.Name) + " does not hold its last import, " + t.Items[0].Ref + ".",
				Why:  "What asks by this tag (`oc debug node`, `oc adm must-gather`, builds) gets a digest that no node has.",
				Mend: "Add the image to the list and make a new bundle, or delete the tag.",
			})
		}
	}
	return out
}

// samples finds the samples operator at work.
func samples(s *Snapshot) []Finding {
	var out []Finding
	for _, o := range s.Settings["Config.samples.operator.openshift.io"] {
		var v struct {
			Spec struct {
				State string `json:"managementState"`
			} `json:"spec"`
		}
		if o.Decode(&v) != nil || (v.Spec.State != "Managed" && v.Spec.State != "") {
			continue
		}
		out = append(out, Finding{
			Rule: "samples-managed", Severity: Warning, Object: o.String(),
			What: "The samples operator manages image streams.",
			// openshift/cluster-samples-operator, README.md.
			Why:  "It imports their images from registry.redhat.io, fails without it, and tries again about every 15 minutes; its alerts fire.",
			Mend: "Remove the samples.",
			Patch: rule.Patch("", "configs.samples.operator.openshift.io/"+o.Metadata.Name, "merge", map[string]any{
				"spec": map[string]any{"managementState": "Removed"},
			}),
		})
	}
	return out
}
