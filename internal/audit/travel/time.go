package travel

import (
	"path"
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
			c := p.clocks(content)
			switch {
			case c.local || c.elsewhere || slices.ContainsFunc(c.servers, func(name string) bool { return !public(name) }):
				continue
			case len(c.servers) == 0:
				what = "The pool's " + chronyConf + " names no source of time."
			default:
				what = "The pool's " + chronyConf + " names public servers alone: " + strings.Join(c.servers[:min(3, len(c.servers))], ", ") + "."
			}
			if c.dhcp {
				what += " Servers that DHCP names are asked, too."
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

// clocks are the sources of time that a chrony.conf names, with the files that it includes.
type clocks struct {
	servers []string
	// local says that one asks no server: a reference clock, or the node's own clock.
	local bool
	// dhcp says that servers that DHCP names are asked, elsewhere that files are included of which the
	// pool's configuration has none: what they name is not known.
	dhcp, elsewhere bool
}

const (
	// dhcpSources is where NetworkManager's dispatcher of chrony puts the servers that DHCP names
	// (mlichvar/chrony, examples/chrony.nm-dispatcher.dhcp).
	dhcpSources = "/run/chrony-dhcp"
	// maxIncludes is how many patterns of files are looked for; what is beyond is elsewhere.
	maxIncludes = 100
)

// clocks reads the content of a chrony.conf.
func (p Pool) clocks(content string) (c clocks) {
	seen := map[string]bool{chronyConf: true}
	patterns := 0
	for contents := []string{content}; len(contents) > 0; contents = contents[1:] {
		for _, pattern := range c.add(contents[0]) {
			if patterns++; patterns > maxIncludes {
				c.elsewhere = true
				return c
			}
			there := false
			for _, f := range p.Files {
				if ok, err := path.Match(pattern, f.Path); err != nil || !ok {
					continue
				}
				there = true
				if !seen[f.Path] {
					seen[f.Path] = true
					contents = append(contents, f.Content)
				}
			}
			c.elsewhere = c.elsewhere || !there
		}
	}
	return c
}

// add adds the sources that one file names, and returns the patterns of the files that it includes
// (mlichvar/chrony, doc/chrony.conf.adoc).
func (c *clocks) add(content string) (patterns []string) {
	for line := range strings.Lines(content) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		name, values := strings.ToLower(words[0]), words[1:]
		switch name {
		case "local", "refclock":
			c.local = true
		case "server", "pool", "peer":
			c.servers = append(c.servers, values[:min(1, len(values))]...)
		case "include":
			patterns = append(patterns, values[:min(1, len(values))]...)
		case "confdir", "sourcedir":
			suffix := map[string]string{"confdir": "*.conf", "sourcedir": "*.sources"}[name]
			for _, dir := range values {
				if dir = path.Clean(dir); dir == dhcpSources {
					c.dhcp = true
				} else {
					patterns = append(patterns, path.Join(dir, suffix))
				}
			}
		}
	}
	return patterns
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
