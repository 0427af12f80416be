// Package mirrors says where a reference can be read: at which mirrors, in
// which order, and whether at its own registry, as registries.conf
// (containers-registries.conf(5)) and the mirror objects of a cluster have it.
package mirrors

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"
)

// ErrBlocked is wrapped by Endpoint.Blocked: registries.conf forbids the registry.
var ErrBlocked = errors.New("blocked by registries.conf")

// Endpoint is one place where a reference can be read.
type Endpoint struct {
	// Ref is the reference as this place knows it.
	Ref reference.Named
	// Insecure: certificates are not verified. PlainHTTP: plain HTTP is
	// allowed, where HTTPS does not work.
	Insecure, PlainHTTP bool
	// Namespace is the value of the query parameter ns, for a proxy of many
	// registries; mostly empty.
	Namespace string
	// Blocked is why the place must not be asked; else nil.
	Blocked error
}

// Host is the host, with its port, that requests go to.
func (e Endpoint) Host() string {
	if h := reference.Domain(e.Ref); h != "docker.io" {
		return h
	}
	return "registry-1.docker.io"
}

// Resolver finds endpoints. It is safe for concurrent use.
type Resolver struct {
	sys       *types.SystemContext
	rules     []sysregistriesv2.Registry
	tlsVerify *bool
}

// New returns a Resolver over the registries.conf that sys names, which is
// read now, and rules, whose mirrors come first. tlsVerify, where it is set,
// overrules what registries.conf says of certificates and plain HTTP.
func New(sys *types.SystemContext, rules []Rule, tlsVerify *bool) (*Resolver, error) {
	merged, err := mergeRules(rules)
	if err != nil {
		return nil, err
	}
	// The library keeps what it read of a path for the life of the process.
	if _, err := sysregistriesv2.TryUpdatingCache(sys); err != nil {
		return nil, fmt.Errorf("reading registries.conf: %w", err)
	}
	return &Resolver{sys: sys, rules: merged, tlsVerify: tlsVerify}, nil
}

// Endpoints returns where ref can be read: the mirrors in their order, then
// the source, as registries.conf and the mirror rules say.
func (r *Resolver) Endpoints(ref reference.Named) ([]Endpoint, error) {
	sources, err := r.configured(ref)
	if err != nil {
		return nil, err
	}
	rule, mirrors := r.ruleFor(ref)
	if rule != nil {
		if rule.Blocked {
			sources = sources[:len(sources)-1]
		}
		sources = append(mirrors, sources...)
	}
	out := make([]Endpoint, 0, len(sources))
	for _, s := range sources {
		ep, err := r.endpoint(s)
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

// Itself returns the place that ref names, and neither a mirror nor another location: that
// is where one writes. registries.conf says how it is reached.
func (r *Resolver) Itself(ref reference.Named) (Endpoint, error) {
	there, err := sysregistriesv2.FindRegistry(r.sys, ref.Name())
	if err != nil {
		return Endpoint{}, fmt.Errorf("reading registries.conf: %w", err)
	}
	insecure := there != nil && there.Insecure
	return r.endpoint(sysregistriesv2.PullSource{Endpoint: sysregistriesv2.Endpoint{Insecure: insecure}, Reference: ref})
}

// configured returns the sources that registries.conf gives ref, the one that
// ref itself names last.
func (r *Resolver) configured(ref reference.Named) ([]sysregistriesv2.PullSource, error) {
	registry, err := sysregistriesv2.FindRegistry(r.sys, ref.Name())
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
func (r *Resolver) endpoint(s sysregistriesv2.PullSource) (Endpoint, error) {
	ep := Endpoint{Ref: s.Reference, Insecure: s.Endpoint.Insecure, Namespace: s.Endpoint.NamespaceProxy}
	there, err := sysregistriesv2.FindRegistry(r.sys, s.Reference.Name())
	if err != nil {
		return Endpoint{}, fmt.Errorf("reading registries.conf: %w", err)
	}
	if there != nil && there.Blocked {
		ep.Blocked = fmt.Errorf("registry %s: %w", there.Prefix, ErrBlocked)
	}
	ep.PlainHTTP = ep.Insecure || isLoopback(ep.Host())
	if verify := r.tlsVerify; verify != nil {
		ep.Insecure, ep.PlainHTTP = !*verify, !*verify
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
