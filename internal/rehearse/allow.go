package rehearse

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

const (
	// lookupTime is how long the API server's name is looked up.
	lookupTime = 5 * time.Second
	// maxConfig bounds a configuration file of kubelet.
	maxConfig = 4 << 20
	// maxAllow bounds the addresses that stay reachable.
	maxAllow = 256
)

// parseAllow reads an address of --allow: CIDR, CIDR:PORT, ADDRESS, ADDRESS:PORT, where an
// IPv6 address with a port is in brackets.
func parseAllow(text string) (Allowed, error) {
	a := Allowed{Source: "--allow"}
	address, port, found := cutPort(text)
	if found {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return a, fmt.Errorf("--allow %q: %q is no port: %w", text, port, ErrUsage)
		}
		a.Port = uint16(n)
	}
	prefix, err := netip.ParsePrefix(address)
	if err != nil {
		addr, addrErr := netip.ParseAddr(address)
		if addrErr != nil || addr.Zone() != "" {
			return a, fmt.Errorf("--allow %q: want ADDRESS or CIDR, and :PORT where only that is meant: %w", text, ErrUsage)
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if prefix.Bits() == 0 {
		return a, fmt.Errorf("--allow %q: nothing would be cut: %w", text, ErrUsage)
	}
	if prefix.Addr().Is4In6() {
		return a, fmt.Errorf("--allow %q: write it as an IPv4 address: %w", text, ErrUsage)
	}
	a.Address = prefix.Masked()
	return a, nil
}

// cutPort cuts :PORT off. An IPv6 address has one only in brackets.
func cutPort(text string) (host, port string, found bool) {
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if host, port, found = strings.Cut(rest, "]:"); found {
			return host, port, true
		}
		return strings.TrimSuffix(rest, "]"), "", false
	}
	if strings.Count(text, ":") == 1 {
		return strings.Cut(text, ":")
	}
	return text, "", false
}

// findAllowed finds the cluster's own addresses on the node: what kubelet is configured
// with, and the routes to the pod and service networks. What is not found stays cut, and is
// noted.
func (n *Node) findAllowed(ctx context.Context) (allow []Allowed, notes []string) {
	servers := 0
	for _, name := range []string{"var/lib/kubelet/kubeconfig", "etc/kubernetes/kubeconfig", "etc/kubernetes/kubelet.kubeconfig"} {
		found, note := n.apiServers(ctx, name)
		servers += len(found)
		allow = append(allow, found...)
		notes = append(notes, note...)
	}
	if servers == 0 {
		notes = append(notes, "no kubeconfig of kubelet names an API server: CRI-O and the network plugins that it starts do not reach it, unless --allow names it")
	}
	for _, name := range []string{"etc/kubernetes/kubelet.conf", "var/lib/kubelet/config.json", "var/lib/kubelet/config.yaml"} {
		allow = append(allow, n.clusterDNS(name)...)
	}
	for _, family := range []string{"-4", "-6"} {
		out, err := n.run(ctx, "", "ip", family, "-json", "route", "show")
		if err != nil {
			notes = append(notes, fmt.Sprintf("the routes to pods and services are not known: %v", err))
			continue
		}
		allow = append(allow, clusterRoutes(out)...)
	}
	return allow, notes
}

// apiServers are the addresses of the API servers that a kubeconfig names. Those on
// loopback are reachable anyway, but count.
func (n *Node) apiServers(ctx context.Context, name string) (allow []Allowed, notes []string) {
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server string `json:"server"`
			} `json:"cluster"`
		} `json:"clusters"`
	}
	if !n.readYAML(name, &config) {
		return nil, nil
	}
	for _, c := range config.Clusters {
		u, err := url.Parse(c.Cluster.Server)
		if err != nil || u.Hostname() == "" {
			notes = append(notes, fmt.Sprintf("/%s: %q is no address of an API server", name, c.Cluster.Server))
			continue
		}
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || port == 0 {
			port = 443
		}
		addrs, err := n.addresses(ctx, u.Hostname())
		if err != nil {
			notes = append(notes, fmt.Sprintf("/%s: the API server %s has no address: %v", name, u.Hostname(), err))
		}
		for _, addr := range addrs {
			allow = append(allow, Allowed{Address: netip.PrefixFrom(addr, addr.BitLen()), Port: uint16(port), Source: "API server " + u.Host + " in /" + name})
		}
	}
	return allow, notes
}

// addresses are those of a host, which may be one.
func (n *Node) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap().WithZone("")}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	lookup := n.Lookup
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	found, err := lookup(ctx, host)
	for i, addr := range found {
		found[i] = addr.Unmap().WithZone("")
	}
	return found, err
}

// clusterDNS are the addresses of the cluster's DNS in a configuration of kubelet.
func (n *Node) clusterDNS(name string) (allow []Allowed) {
	var config struct {
		ClusterDNS []string `json:"clusterDNS"`
	}
	n.readYAML(name, &config)
	for _, text := range config.ClusterDNS {
		if addr, err := netip.ParseAddr(text); err == nil {
			allow = append(allow, Allowed{Address: netip.PrefixFrom(addr, addr.BitLen()), Source: "clusterDNS in /" + name})
		}
	}
	return allow
}

// readYAML reads a file of the node, and reports whether it could.
func (n *Node) readYAML(name string, into any) bool {
	data, err := safefile.ReadFile(n.path(name), maxConfig)
	return err == nil && kubeobject.UnmarshalYAML(string(data), into) == nil
}

// clusterRoutes are the pod and service networks among routes, as OVN-Kubernetes sets them:
// through its management port, and by a gateway that stands for its own switch.
func clusterRoutes(routes []byte) (allow []Allowed) {
	var parsed []struct{ Dst, Gateway, Dev string }
	if err := json.Unmarshal(routes, &parsed); err != nil {
		return nil
	}
	inner := []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fd69::/112")}
	for _, r := range parsed {
		prefix, err := netip.ParsePrefix(r.Dst)
		if err != nil || prefix.Bits() == 0 {
			continue // the default, or one host
		}
		gateway, _ := netip.ParseAddr(r.Gateway)
		switched := slices.ContainsFunc(inner, func(p netip.Prefix) bool { return p.Contains(gateway) })
		if r.Dev == "ovn-k8s-mp0" || switched {
			source := "route through " + r.Dev
			if switched {
				source = "route by " + r.Gateway
			}
			allow = append(allow, Allowed{Address: prefix.Masked(), Source: source})
		}
	}
	return allow
}

// merge sorts addresses, and keeps each once. Loopback is reachable anyway.
func merge(allow []Allowed) []Allowed {
	out := slices.DeleteFunc(slices.Clone(allow), func(a Allowed) bool { return a.Address.Addr().IsLoopback() })
	slices.SortStableFunc(out, func(a, b Allowed) int {
		if c := a.Address.Compare(b.Address); c != 0 {
			return c
		}
		return int(a.Port) - int(b.Port)
	})
	return slices.CompactFunc(out, func(a, b Allowed) bool { return a.Address == b.Address && a.Port == b.Port })
}
