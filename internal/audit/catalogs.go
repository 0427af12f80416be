package audit

import "github.com/nodeseal/nodeseal/internal/audit/rule"

// catalogSources finds catalogs of OLM whose image is not pinned.
func catalogSources(s *Snapshot) []Finding {
	var out []Finding
	for _, o := range s.Settings["CatalogSource.operators.coreos.com"] {
		var v struct {
			Spec struct {
				Image string `json:"image"`
			} `json:"spec"`
		}
		if o.Decode(&v) != nil || v.Spec.Image == "" || imageTag(v.Spec.Image) == "" {
			continue
		}
		out = append(out, Finding{
			Rule: "catalog-by-tag", Severity: Warning, Object: o.String(),
			What: "The catalog's image is named by its tag: " + v.Spec.Image + ".",
			Why:  "OLM makes its pod with imagePullPolicy Always for a tag, so the catalog does not start, and operators cannot be resolved.",
			Mend: "Name the image by digest, or remove the catalog from a cluster that gets no updates.",
		})
	}
	return out
}

// defaultCatalogs finds the catalogs that OpenShift makes by itself.
func defaultCatalogs(s *Snapshot) []Finding {
	var out []Finding
	for _, o := range s.Settings["OperatorHub.config.openshift.io"] {
		var v struct {
			Spec struct {
				Disable bool `json:"disableAllDefaultSources"`
			} `json:"spec"`
		}
		if o.Decode(&v) != nil || v.Spec.Disable {
			continue
		}
		out = append(out, Finding{
			Rule: "default-catalogs", Severity: Warning, Object: o.String(),
			What: "The default catalogs are enabled.",
			Why:  "They are polled at registry.redhat.io for ever; their pods fail, and the marketplace operator reports it.",
			Mend: "Disable them.",
			Patch: rule.Patch("", "operatorhub/"+o.Metadata.Name, "merge", map[string]any{
				"spec": map[string]any{"disableAllDefaultSources": true},
			}),
		})
	}
	return out
}

// clusterCatalogs finds catalogs of OLM v1 that are polled.
func clusterCatalogs(s *Snapshot) []Finding {
	var out []Finding
	for _, o := range s.Settings["ClusterCatalog.olm.operatorframework.io"] {
		var v struct {
			Spec struct {
				Mode string `json:"availabilityMode"`
			} `json:"spec"`
		}
		if o.Decode(&v) != nil || v.Spec.Mode == "Unavailable" {
			continue
		}
		out = append(out, Finding{
			Rule: "cluster-catalog", Severity: Note, Object: o.String(),
			What: "The catalog is available.",
			Why:  "catalogd unpacks and polls its image in a pod, which no registry on a node can answer.",
			Mend: "Make it unavailable.",
			Patch: rule.Patch("", "clustercatalog/"+o.Metadata.Name, "merge", map[string]any{
				"spec": map[string]any{"availabilityMode": "Unavailable"},
			}),
		})
	}
	return out
}
