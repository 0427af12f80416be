package travel

import (
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// hostsWithoutTime are platforms whose hosts give their machines no time of themselves.
func hostsWithoutTime() []string {
	return []string{"None", "External", "BareMetal", "VSphere", "OpenStack", "Nutanix", "oVirt"}
}

// timeSources finds pools whose nodes have no source of time but servers of the internet. The
// kubelet-dependencies.target wants chrony-wait.service, so kubelet is started when that is over
// (openshift/machine-config-operator, templates/common/_base/units); chrony's own unit waits up to ten
// minutes for a source (mlichvar/chrony, examples/chrony-wait.service).
func (c Cluster) timeSources() (out []rule.Finding) {
	infra, ok := c.infrastructure()
	if !ok || !slices.Contains(hostsWithoutTime(), infra.Status.Platform.Type) {
		return nil
	}
	for _, p := range c.Pools {
		what := "Nothing in the pool's configuration writes " + chronyConf + ": its nodes ask public servers, or those that DHCP names."
		if content, ok := p.file(chronyConf); ok {
			sources, local := chrony(content)
			switch {
			case local || slices.ContainsFunc(sources, func(name string) bool { return !public(name) }):
				continue
			case len(sources) == 0:
				what = "The pool's " + chronyConf + " names no source of time."
			default:
				what = "The pool's " + chronyConf + " names public servers alone: " + strings.Join(sources[:min(3, len(sources))], ", ") + "."
			}
		}
		out = append(out, rule.Finding{
			Rule: "no-time-source", Severity: rule.Warning, Object: "MachineConfigPool " + p.Name, What: what,
			Why: "With no answer kubelet waits for chrony-wait.service at each boot, and clocks drift apart: one that is wrong after a long time off " +
				"makes certificates invalid, and etcd's members disagree.",
			Mend: "Give the nodes a server that travels with them, or make control planes their source (" + runbook + "). If DHCP at the site names one, nothing is to be done.",
		})
	}
	return out
}

// chrony returns the servers that a chrony.conf names, and whether it has a source that asks no
// server: a reference clock, or the node's own clock.
func chrony(content string) (sources []string, local bool) {
	for line := range strings.Lines(content) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch strings.ToLower(words[0]) {
		case "local", "refclock":
			local = true
		case "server", "pool", "peer":
			if len(words) > 1 {
				sources = append(sources, words[1])
			}
		}
	}
	return sources, local
}

// public reports servers of the internet's pool.
func public(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	return name == "pool.ntp.org" || strings.HasSuffix(name, ".pool.ntp.org")
}

// file returns the content of a file of the pool's nodes.
func (p Pool) file(path string) (string, bool) {
	i := slices.IndexFunc(p.Files, func(f kubeobject.HostFile) bool { return f.Path == path })
	if i < 0 {
		return "", false
	}
	return p.Files[i].Content, true
}
