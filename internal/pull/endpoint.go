package pull

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
)

// endpoint is one place where a reference can be read.
type endpoint struct {
	ref       reference.Named // as this endpoint knows it
	insecure  bool            // certificates are not verified, plain HTTP is allowed
	plainHTTP bool            // plain HTTP is allowed
	namespace string          // value of the query parameter ns; mostly empty
	blocked   error           // why it must not be asked, else nil
}

// host is the host that the endpoint's requests go to.
func (e endpoint) host() string {
	if h := reference.Domain(e.ref); h != "docker.io" {
		return h
	}
	return "registry-1.docker.io"
}

// endpoints returns where ref can be read: the mirrors in their order, then
// the source, as registries.conf and the mirror rules say.
func (c *Client) endpoints(ref reference.Named) ([]endpoint, error) {
	sources, err := c.configured(ref)
	if err != nil {
		return nil, err
	}
	rule, mirrors := c.ruleFor(ref)
	if rule != nil {
		if rule.Blocked {
			sources = sources[:len(sources)-1]
		}
		sources = append(mirrors, sources...)
	}
	out := make([]endpoint, 0, len(sources))
	for _, s := range sources {
		ep, err := c.endpoint(s)
		if err != nil {
			return nil, err
		}
		out = append(out, ep)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("reference %q: no mirror is left, and its source must not be asked", ref)
	}
	return out, nil
}

// configured returns the sources that registries.conf gives ref, the one that
// ref itself names last.
func (c *Client) configured(ref reference.Named) ([]sysregistriesv2.PullSource, error) {
	registry, err := sysregistriesv2.FindRegistry(c.sys, ref.Name())
	if err != nil {
		return nil, fmt.Errorf("reading registries.conf: %w", err)
	}
	if registry == nil {
		return []sysregistriesv2.PullSource{{Reference: ref}}, nil
	}
	sources, err := registry.PullSourcesFromReference(ref)
	if err != nil {
		return nil, fmt.Errorf("registries.conf for %s: %w", ref, err)
	}
	return sources, nil
}

// endpoint adds to a source what registries.conf says of the place it names.
func (c *Client) endpoint(s sysregistriesv2.PullSource) (endpoint, error) {
	ep := endpoint{ref: s.Reference, insecure: s.Endpoint.Insecure, namespace: s.Endpoint.NamespaceProxy}
	there, err := sysregistriesv2.FindRegistry(c.sys, s.Reference.Name())
	if err != nil {
		return endpoint{}, fmt.Errorf("reading registries.conf: %w", err)
	}
	if there != nil && there.Blocked {
		ep.blocked = fmt.Errorf("registry %s: %w", there.Prefix, ErrBlocked)
	}
	ep.plainHTTP = ep.insecure || isLoopback(ep.host())
	if verify := c.o.TLSVerify; verify != nil {
		ep.insecure, ep.plainHTTP = !*verify, !*verify
	}
	return ep, nil
}

// isLoopback reports whether hostport names this machine itself.
func isLoopback(hostport string) bool {
	h, _, err := net.SplitHostPort(hostport)
	if err != nil {
		h = strings.Trim(hostport, "[]")
	}
	ip := net.ParseIP(h)
	return h == "localhost" || (ip != nil && ip.IsLoopback())
}

// mergeRules puts the rules into registries.conf's terms, one for each source.
func mergeRules(rules []MirrorRule) ([]sysregistriesv2.Registry, error) {
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

func (u MirrorUse) pullFromMirror() string {
	switch u {
	case MirrorDigests:
		return sysregistriesv2.MirrorByDigestOnly
	case MirrorTags:
		return sysregistriesv2.MirrorByTagOnly
	case MirrorAll:
	}
	return sysregistriesv2.MirrorAll
}

// ruleFor returns the mirror rule for ref with the mirrors that it gives, or
// nil. A mirror is insecure where registries.conf says so of its place.
func (c *Client) ruleFor(ref reference.Named) (*sysregistriesv2.Registry, []sysregistriesv2.PullSource) {
	var rule *sysregistriesv2.Registry
	var mirrors []sysregistriesv2.PullSource
	for i := range c.rules {
		r := &c.rules[i]
		if rule != nil && len(r.Prefix) <= len(rule.Prefix) {
			continue
		}
		// The error says that the prefix is not ref's.
		if sources, err := r.PullSourcesFromReference(ref); err == nil {
			rule, mirrors = r, slices.Clip(sources[:len(sources)-1])
		}
	}
	for i := range mirrors {
		there, err := sysregistriesv2.FindRegistry(c.sys, mirrors[i].Reference.Name())
		mirrors[i].Endpoint.Insecure = err == nil && there != nil && there.Insecure
	}
	return rule, mirrors
}

// order returns eps with those last that could not be reached a short while
// ago, and after them those whose bytes of d were rejected (d may be empty).
func (c *Client) order(eps []endpoint, d digest.Digest) []endpoint {
	rank := func(ep endpoint) int {
		switch {
		case d != "" && c.isRejected(d, ep):
			return 2
		case c.host(ep.host()).isDown():
			return 1
		}
		return 0
	}
	ranks := make(map[string]int, len(eps))
	for _, ep := range eps {
		ranks[ep.ref.String()] = rank(ep)
	}
	out := slices.Clone(eps)
	slices.SortStableFunc(out, func(a, b endpoint) int { return ranks[a.ref.String()] - ranks[b.ref.String()] })
	return out
}
