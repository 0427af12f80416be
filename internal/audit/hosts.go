package audit

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/tomlbound"
)

// The files of nodes that rules look at, and what the names of others begin with.
const (
	storageConf = "/etc/containers/storage.conf"
	kubeletConf = "/etc/kubernetes/kubelet.conf"
	crioConfDir = "/etc/crio/crio.conf.d/"
	networkDir  = "/etc/NetworkManager/"
)

// isRegistriesConf reports registries.conf and its drop-ins.
func isRegistriesConf(name string) bool {
	return name == "/etc/containers/registries.conf" || strings.HasPrefix(name, "/etc/containers/registries.conf.d/")
}

// inUse returns the configurations that nodes of pools have or get.
func (s *Snapshot) inUse() []Config {
	return slices.DeleteFunc(slices.Clone(s.Configs), func(c Config) bool { return !c.InUse })
}

// file returns the content of a file that c writes.
func (c Config) file(name string) (string, bool) {
	for _, f := range c.Files {
		if f.Path == name {
			return f.Content, true
		}
	}
	return "", false
}

// noNameserver finds pools of clusters with a virtual IP whose nodes would wait
// for a name server for ever.
func noNameserver(s *Snapshot) []Finding {
	platform := ""
	for _, o := range s.Settings["Infrastructure.config.openshift.io"] {
		var v struct {
			Status struct {
				Platform map[string]any `json:"platformStatus"`
			} `json:"status"`
		}
		if o.Decode(&v) != nil {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(v.Status.Platform)) {
			if m, ok := v.Status.Platform[key].(map[string]any); ok && (m["apiServerInternalIP"] != nil || m["apiServerInternalIPs"] != nil) {
				platform = key
			}
		}
	}
	if platform == "" || hasNameserverPolicy(s) {
		return nil
	}
	var out []Finding
	for _, c := range s.inUse() {
		if slices.ContainsFunc(c.Files, func(f kubeobject.HostFile) bool { return setsNameserver(f.Path, f.Content) }) {
			continue
		}
		out = append(out, Finding{
			Rule: "no-nameserver", Severity: Warning, Object: "MachineConfigPool " + c.Role,
			What: "The platform " + platform + " manages a virtual IP, and nothing in the pool's configuration gives its nodes a name server.",
			Why:  "resolv-prepender waits until /var/run/NetworkManager/resolv.conf has a nameserver line; with DHCP and DNS gone kubelet never starts.",
			Mend: "Give NetworkManager a name server that need not answer, in the connection's profile or as [global-dns-domain-*] servers=127.0.0.1; never in /etc/resolv.conf. If the nodes have one already from their installation, nothing is to be done.",
		})
	}
	return out
}

// setsNameserver reports files of NetworkManager that name a DNS server.
func setsNameserver(name, content string) bool {
	if !strings.HasPrefix(name, networkDir) {
		return false
	}
	for line := range strings.Lines(content) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && (key == "dns" || key == "servers") && strings.ContainsAny(value, "0123456789") {
			return true
		}
	}
	return false
}

func hasNameserverPolicy(s *Snapshot) bool {
	for _, o := range s.Settings["NodeNetworkConfigurationPolicy.nmstate.io"] {
		var v struct {
			Spec struct {
				State struct {
					DNS struct {
						Config struct {
							Server []string `json:"server"`
						} `json:"config"`
					} `json:"dns-resolver"`
				} `json:"desiredState"`
			} `json:"spec"`
		}
		if o.Decode(&v) == nil && len(v.Spec.State.DNS.Config.Server) > 0 {
			return true
		}
	}
	return false
}

// withStores returns the configurations made by people that name image stores,
// not rendered ones.
func (s *Snapshot) withStores() []Config {
	return slices.DeleteFunc(slices.Clone(s.Configs), func(c Config) bool {
		if c.Rendered {
			return true
		}
		content, ok := c.file(storageConf)
		return !ok || len(parseStorage(content).stores()) == 0
	})
}

// storageFile is a storage.conf as far as rules look at it.
type storageFile map[string]any

func parseStorage(content string) storageFile {
	var f storageFile
	if tomlbound.Unmarshal([]byte(content), &f) != nil {
		return nil
	}
	return f
}

func (f storageFile) table(names ...string) map[string]any {
	t := map[string]any(f)
	for _, n := range names {
		t, _ = t[n].(map[string]any)
	}
	return t
}

func (f storageFile) stores() []string {
	var out []string
	list, _ := f.table("storage", "options")["additionalimagestores"].([]any)
	for _, v := range list {
		if text, ok := v.(string); ok {
			out = append(out, text)
		}
	}
	return out
}

// flat returns all settings but the stores, by dotted name.
func (f storageFile) flat() map[string]string {
	out := make(map[string]string)
	var visit func(prefix string, t map[string]any)
	visit = func(prefix string, t map[string]any) {
		for k, v := range t {
			if sub, ok := v.(map[string]any); ok {
				visit(prefix+k+".", sub)
			} else if k != "additionalimagestores" {
				out[prefix+k] = fmt.Sprint(v)
			}
		}
	}
	visit("", f)
	return out
}

// frozenStorageConf finds a storage.conf that was made of an older release's.
func frozenStorageConf(s *Snapshot) []Finding {
	var out []Finding
	for _, c := range s.withStores() {
		content, _ := c.file(storageConf)
		ours := parseStorage(content).flat()
		for _, generated := range s.Configs {
			theirs, ok := generated.file(storageConf)
			if !ok || generated.Controller == "" || generated.Rendered || generated.Role != c.Role {
				continue
			}
			if diff := differences(parseStorage(theirs).flat(), ours); len(diff) > 0 {
				out = append(out, Finding{
					Rule: "storage-conf-frozen", Severity: Warning, Object: "MachineConfig " + c.Name,
					What: "Its " + storageConf + " differs from what this release writes (MachineConfig " + generated.Name + "): " + strings.Join(diff, ", ") + ".",
					Why:  "The file hides what the MCO would write; paths and options that changed with an upgrade stay as they were.",
					Mend: "Make it again from a node's own file: `nodeseal config machineconfig --from FILE --ocp-version VERSION --pool " + cmp.Or(c.Role, "worker") + "`.",
				})
			}
		}
	}
	return out
}

// differences names the settings that differ, sorted.
func differences(a, b map[string]string) []string {
	var out []string
	for k := range a {
		if b[k] != a[k] {
			out = append(out, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// storeUnderGraphRoot finds stores where CRI-O wipes.
func storeUnderGraphRoot(s *Snapshot) []Finding {
	var out []Finding
	for _, c := range s.inUse() {
		content, ok := c.file(storageConf)
		if !ok {
			continue
		}
		conf := parseStorage(content)
		root, _ := conf.table("storage")["graphroot"].(string)
		root = cmp.Or(root, "/var/lib/containers/storage")
		for _, store := range conf.stores() {
			if clean := path.Clean(store); clean == path.Clean(root) || strings.HasPrefix(clean, path.Clean(root)+"/") {
				out = append(out, Finding{
					Rule: "store-under-graph-root", Severity: Breaks, Object: "MachineConfigPool " + c.Role,
					What: "The image store " + store + " lies below the graph root " + root + ".",
					Why:  "After an unclean shutdown CRI-O removes the graph root whole, and the store with it; a configured store that is missing stops CRI-O.",
					Mend: "Move the store, for example to /var/lib/shared/nodeseal.",
				})
			}
		}
	}
	return out
}
