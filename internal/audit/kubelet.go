package audit

import (
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// alwaysPullImages finds the admission plug-in that turns every pull policy into
// Always.
func alwaysPullImages(s *Snapshot) []Finding {
	const plugin = "AlwaysPullImages"
	finding := func(object string) Finding {
		return Finding{
			Rule: "always-pull-images", Severity: Breaks, Object: object,
			What: "The admission plug-in " + plugin + " is enabled.",
			Why:  "It sets imagePullPolicy to Always in every pod that is made; with no registry none of them starts.",
			Mend: "Disable the plug-in, or let `nodeseal serve` answer on every node.",
		}
	}
	var out []Finding
	for _, o := range s.Settings["KubeAPIServer.operator.openshift.io"] {
		type arguments struct {
			Arguments struct {
				Plugins []string `json:"enable-admission-plugins"`
			} `json:"apiServerArguments"`
		}
		var v struct {
			Spec struct {
				Observed  arguments `json:"observedConfig"`
				Overrides arguments `json:"unsupportedConfigOverrides"`
			} `json:"spec"`
		}
		if o.Decode(&v) == nil && slices.Contains(slices.Concat(v.Spec.Observed.Arguments.Plugins, v.Spec.Overrides.Arguments.Plugins), plugin) {
			out = append(out, finding(o.String()))
		}
	}
	for _, c := range s.Containers {
		if slices.ContainsFunc(c.Command, func(word string) bool {
			return strings.Contains(word, "enable-admission-plugins") && strings.Contains(word, plugin)
		}) {
			out = append(out, finding(c.String()))
		}
	}
	return out
}

// verification is the field of a kubelet's configuration that names the policy.
type verification struct {
	Policy string `json:"imagePullCredentialsVerificationPolicy"`
}

// alwaysVerify finds kubelets that ask a registry whether a pod may use an image.
func alwaysVerify(s *Snapshot) []Finding {
	finding := func(object string) Finding {
		return Finding{
			Rule: "always-verify", Severity: Breaks, Object: object,
			What: "Kubelet's imagePullCredentialsVerificationPolicy is AlwaysVerify.",
			Why:  "Kubelet then checks a pod's credentials at the registry, also for images that were put on the node beforehand.",
			Mend: "Set it to NeverVerifyPreloadedImages, kubelet's default.",
		}
	}
	var out []Finding
	for _, o := range s.Settings["KubeletConfig.machineconfiguration.openshift.io"] {
		var v struct {
			Spec struct {
				Kubelet verification `json:"kubeletConfig"`
			} `json:"spec"`
		}
		if o.Decode(&v) == nil && v.Spec.Kubelet.Policy == "AlwaysVerify" {
			f := finding(o.String())
			f.Patch = rule.Patch("", "kubeletconfig/"+o.Metadata.Name, "merge", map[string]any{
				"spec": map[string]any{"kubeletConfig": map[string]any{"imagePullCredentialsVerificationPolicy": "NeverVerifyPreloadedImages"}},
			})
			out = append(out, f)
		}
	}
	for _, c := range s.inUse() {
		content, ok := c.file(kubeletConf)
		var v verification
		if ok && kubeobject.UnmarshalYAML(content, &v) == nil && v.Policy == "AlwaysVerify" {
			out = append(out, finding("MachineConfig "+c.Name))
		}
	}
	return out
}
