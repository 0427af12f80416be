package mirrors

import (
	"errors"
	"slices"
	"strings"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
)

// Use says which references a mirror serves.
type Use int

// The uses of a mirror.
const (
	All     Use = iota // every reference
	Digests            // references by digest (ImageDigestMirrorSet, ImageContentSourcePolicy)
	Tags               // references by tag (ImageTagMirrorSet)
)

// Rule sends what Source names to mirrors. The rule with the longest
// Source that fits a reference wins; rules with the same Source are joined.
type Rule struct {
	// Source is a prefix host[:port][/path] or a wildcard *.domain.
	Source string
	// Mirrors are prefixes that take Source's place, tried in order.
	Mirrors []string
	Use     Use
	// Exclusive forbids to ask the source itself (NeverContactSource).
	Exclusive bool
}

// mergeRules puts the rules into registries.conf's terms, one for each source.
func mergeRules(rules []Rule) ([]sysregistriesv2.Registry, error) {
	var out []sysregistriesv2.Registry
	for _, r := range rules {
		source := strings.TrimRight(r.Source, "/")
		if source == "" {
			return nil, errors.New("mirror rule without a source")
		}
		i := slices.IndexFunc(out, func(have sysregistriesv2.Registry) bool { return have.Prefix == source })
		if i < 0 {
			i = len(out)
			reg := sysregistriesv2.Registry{Prefix: source}
			if !strings.HasPrefix(source, "*.") {
				reg.Location = source
			}
			out = append(out, reg)
		}
		out[i].Blocked = out[i].Blocked || r.Exclusive
		for _, m := range r.Mirrors {
			out[i].Mirrors = append(out[i].Mirrors, sysregistriesv2.Endpoint{
				Location:       strings.TrimRight(m, "/"),
				PullFromMirror: r.Use.pullFromMirror(),
			})
		}
	}
	return out, nil
}

func (u Use) pullFromMirror() string {
	switch u {
	case Digests:
		return sysregistriesv2.MirrorByDigestOnly
	case Tags:
		return sysregistriesv2.MirrorByTagOnly
	case All:
	}
	return sysregistriesv2.MirrorAll
}

// ruleFor returns the mirror rule for ref with the mirrors that it gives, or
// nil. A mirror is insecure where registries.conf says so of its place.
func (r *Resolver) ruleFor(ref reference.Named) (*sysregistriesv2.Registry, []sysregistriesv2.PullSource) {
	var rule *sysregistriesv2.Registry
	var mirrors []sysregistriesv2.PullSource
	for i := range r.rules {
		reg := &r.rules[i]
		if rule != nil && len(reg.Prefix) <= len(rule.Prefix) {
			continue
		}
		// The error says that the prefix is not ref's.
		if sources, err := reg.PullSourcesFromReference(ref); err == nil {
			rule, mirrors = reg, slices.Clip(sources[:len(sources)-1])
		}
	}
	for i := range mirrors {
		there, err := sysregistriesv2.FindRegistry(r.sys, mirrors[i].Reference.Name())
		mirrors[i].Endpoint.Insecure = err == nil && there != nil && there.Insecure
	}
	return rule, mirrors
}
