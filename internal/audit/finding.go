// Package audit says what in a cluster would still reach for a registry when
// there is none, and how to mend it. The rules are pure: they look at a Snapshot
// of the cluster's objects and, where there is one, at what a list, bundle or
// store holds.
package audit

import (
	"cmp"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/audit/outside"
	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/audit/travel"
	"github.com/nodeseal/nodeseal/internal/madeby"
)

// Severity says how bad a finding is.
type Severity = rule.Severity

// The severities, the worst first.
const (
	Breaks  = rule.Breaks
	Warning = rule.Warning
	Note    = rule.Note
)

// rank orders severities, the worst first.
func rank(s Severity) int {
	return slices.Index([]Severity{Breaks, Warning, Note}, s)
}

// Finding is one thing that a rule found.
type Finding struct {
	// Rule is the rule's id: lower case, with hyphens. It does not change
	// between releases.
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	// Object is the object that is meant, as kind namespace/name, with what in
	// it is meant after a space.
	Object string `json:"object"`
	// What is the case, Why it matters with no network, and how to Mend it, in
	// one sentence each, or two.
	What string `json:"what"`
	Why  string `json:"why"`
	Mend string `json:"mend"`
	// Patch is a command that mends it, where one does.
	Patch string `json:"patch,omitempty"`
}

// Report is the result of all rules.
type Report struct {
	// Cluster names the cluster: its release, nodes, pools.
	Cluster  Cluster   `json:"cluster"`
	Findings []Finding `json:"findings"`
	// Problems are what could not be read: rules may have missed something there.
	Problems []string `json:"problems,omitempty"`
	// Held says what the images were compared with, "" where with nothing.
	Held string `json:"held,omitempty"`
	// Made is when and with what the report was made, and from which files.
	Made *madeby.Mark `json:"made,omitempty"`
}

// Cluster is what the report says about the cluster itself.
type Cluster struct {
	Version       string   `json:"version,omitempty"`
	Nodes         int      `json:"nodes"`
	Architectures []string `json:"architectures,omitempty"`
	Pools         []string `json:"pools,omitempty"`
	Containers    int      `json:"containers"`
}

// Count returns how many findings are of the severity.
func (r Report) Count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Breaks reports whether something would break a reboot or the next upgrade.
func (r Report) Breaks() bool { return r.Count(Breaks) > 0 }

// A check looks at a cluster. It is pure.
type check func(*Snapshot) []Finding

// rules are all rules, in no order that matters.
func rules() []check {
	return []check{
		pullAlways, imageVolumes, slowPulls, byTag, missingImages, missingInstances,
		catalogSources, defaultCatalogs, clusterCatalogs,
		scheduledImports, importedDigests, samples,
		alwaysPullImages, alwaysVerify,
		noNameserver, overwrittenStorageConf, unmergedRuntimeConfigs, frozenStorageConf, storeUnderGraphRoot,
		shadowedMirrors, goneMirrors, pinsTwice, littleDisk,
		osFromRegistry, refusedLayers, outsideRules, travelRules,
	}
}

// Run applies all rules to s. The findings are sorted: the worst first, then by
// rule and object.
func Run(s *Snapshot) Report {
	r := Report{Cluster: s.cluster(), Problems: s.Problems, Held: s.Held.name()}
	for _, look := range rules() {
		r.Findings = append(r.Findings, look(s)...)
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(rank(a.Severity)-rank(b.Severity), strings.Compare(a.Rule, b.Rule), strings.Compare(a.Object, b.Object))
	})
	r.Findings = slices.Compact(r.Findings)
	return r
}

// outsideRules applies the rules of package outside.
func outsideRules(s *Snapshot) []Finding { return findings(outside.Check(s.Settings)) }

// travelRules applies the rules of package travel.
func travelRules(s *Snapshot) []Finding {
	c := travel.Cluster{Objects: s.Settings}
	for _, config := range s.inUse() {
		c.Pools = append(c.Pools, travel.Pool{Name: config.Role, Files: config.Files})
	}
	for _, n := range s.Nodes {
		if n.Seen.After(c.Now) {
			c.Now = n.Seen
		}
	}
	return findings(travel.Check(c))
}

func findings(found []rule.Finding) []Finding {
	out := make([]Finding, 0, len(found))
	for _, f := range found {
		out = append(out, Finding(f))
	}
	return out
}
