package machine

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Pins returns globs that pin every image of the given repositories
// (host/path), and those that later releases put beside them: one for each
// first folder of a registry. They stay the same from release to release.
func Pins(repositories []string) []string {
	var pins []string
	for _, repo := range repositories {
		host, rest, _ := strings.Cut(repo, "/")
		if folder, _, nested := strings.Cut(rest, "/"); nested {
			pins = append(pins, host+"/"+folder+"/*")
		} else {
			pins = append(pins, repo+"*")
		}
	}
	slices.Sort(pins)
	return slices.Compact(pins)
}

// checkPin refuses what CRI-O does not take: it panics on "*" alone, and a star
// elsewhere than at the end is no part of this product's contract.
func checkPin(pin string) error {
	name, glob := strings.CutSuffix(pin, "*")
	switch {
	case pin == "*":
		return Refuse(`pin "*": CRI-O panics on a star alone; name at least a registry, as in quay.io/*`)
	case strings.Contains(name, "*"):
		return Refuse("pin %q: a star may stand only at the end", pin)
	case strings.ContainsAny(pin, " \t\n\"\\") || !strings.Contains(name, "/"):
		return Refuse("pin %q: want a reference, or the start of one with its registry and a star", pin)
	case !glob && !strings.ContainsAny(name, "@:"):
		return Refuse("pin %q: names no tag or digest; end it with a star to pin the whole repository", pin)
	}
	return nil
}

// pinsConf returns CRI-O's drop-in.
func pinsConf(pins []string) ([]byte, error) {
	pins = slices.Compact(slices.Sorted(slices.Values(pins)))
	var conf struct {
		Crio struct {
			Image struct {
				Pinned []string `toml:"pinned_images"`
			} `toml:"image"`
		} `toml:"crio"`
	}
	conf.Crio.Image.Pinned = pins
	return crioDropIn("Kubelet's garbage collection leaves these alone", conf)
}

// crioDropIn returns the text of a drop-in for CRI-O, with a comment above.
func crioDropIn(comment string, conf any) ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# %s. Made by nodeseal config.\n", comment)
	enc := toml.NewEncoder(&out)
	enc.Indent = ""
	if err := enc.Encode(conf); err != nil {
		return nil, fmt.Errorf("encoding a drop-in for CRI-O: %w", err)
	}
	return out.Bytes(), nil
}

// nameserverConf gives NetworkManager a nameserver: what waits for a line
// `nameserver` in its resolv.conf goes on. It replaces the nameservers of all
// connections.
func nameserverConf(addr netip.Addr) []byte {
	return fmt.Appendf(nil, `# A machine without DNS: what waits for a nameserver at boot goes on. This
# replaces the nameservers of all connections. Made by nodeseal config.
[global-dns-domain-*]
servers=%s
`, addr)
}
