// Package repopath says under which name the answering registry has the
// repository of another registry: quay.io/ns/name is ns/name below quay.io. It
// is a leaf, for the registry itself and for the configuration that points at it.
package repopath

import (
	"net"
	"net/netip"
	"strings"
)

// Of returns the name of repository (host[:port]/path, or a host alone) at the
// answering registry, so that "127.0.0.1:5055/" + Of(repository) is a valid
// reference. A repository's name cannot have a colon, so a port is written
// after an underscore (registry.example:5000/a is registry.example_5000/a), which
// no host has; an IPv6 address is written out in full, with dashes. Names
// of repositories are in lower case.
func Of(repository string) string {
	host, path, found := strings.Cut(repository, "/")
	name := Host(host)
	if found {
		name += "/" + path
	}
	return name
}

// Host is Of for a host[:port] alone.
func Host(host string) string {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ""
	}
	if addr, err := netip.ParseAddr(name); err == nil && addr.Is6() {
		name = strings.ReplaceAll(addr.StringExpanded(), ":", "-")
	}
	if port != "" {
		name += "_" + port
	}
	return strings.ToLower(name)
}
