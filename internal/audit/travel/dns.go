package travel

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// apiNames finds clusters whose nodes ask a server outside for the name of the API. Kubelets reach the API
// server by apiServerInternalURI (openshift/api, config/v1/types_infrastructure.go). On platforms with
// a virtual IP, and in clouds, the cluster or its platform answers for that name
// (openshift/machine-config-operator, templates/common/on-prem and templates/common/cloud-platform-alt-dns);
// on None and External nothing does.
func (c Cluster) apiNames() (out []rule.Finding) {
	infra, ok := c.infrastructure()
	if !ok || infra.Status.Platform.Type != "None" && infra.Status.Platform.Type != "External" {
		return nil
	}
	u, err := url.Parse(infra.Status.Internal)
	if err != nil || u.Hostname() == "" || net.ParseIP(u.Hostname()) != nil {
		return nil
	}
	host := u.Hostname()
	for _, p := range c.Pools {
		if slices.ContainsFunc(p.Files, func(f kubeobject.HostFile) bool { return resolves(f, host) }) {
			continue
		}
		out = append(out, rule.Finding{
			Rule: "api-name-outside", Severity: rule.Warning, Object: "MachineConfigPool " + p.Name,
			What: "On the platform " + infra.Status.Platform.Type + " nothing in the cluster answers for " + host + ", and nothing in the pool's configuration does on the node.",
			Why:  "Kubelet reaches the API server by this name: if the DNS server that knows it stays behind or does not answer, no node comes back.",
			Mend: "Take a DNS server along that answers for this name, api and *.apps, and that starts before the nodes (docs/openshift.md, Where DNS does not answer). " +
				"If the site's server has the names, nothing is to be done.",
		})
	}
	return out
}

// resolves reports files that make a node answer for the host itself: it is named there, in a line that
// is no comment.
func resolves(f kubeobject.HostFile, host string) bool {
	if f.Path != hostsFile && !strings.HasPrefix(f.Path, dnsmasqDir) {
		return false
	}
	for line := range strings.Lines(f.Content) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "#") && strings.Contains(line, host) {
			return true
		}
	}
	return false
}
