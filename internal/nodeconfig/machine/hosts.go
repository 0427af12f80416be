package machine

import (
	_ "embed" // the script
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

const (
	// HostsUnit puts the lines of HostsFile into /etc/hosts while it is active.
	HostsUnit = "nodeseal-hosts.service"
	// HostsFile has the lines for registries that a node never reaches.
	HostsFile = "/etc/nodeseal/hosts"
	// HostsScript adds the lines and removes them.
	HostsScript = "/etc/nodeseal/hosts.sh"

	// unreachable is the address of registries that a node never reaches: Linux refuses a
	// connection to it at once, whatever routes there are, and nothing can listen there.
	// An address of 127.0.0.0/8 would make CRI-O skip the verification of certificates.
	unreachable = "255.255.255.255"
)

//go:embed hosts.sh
var hostsScript []byte

// RegistryHosts returns the hosts of repositories (host[:port]/path) that have to be looked
// up outside of the cluster, each once: no address, and no service of the cluster itself.
func RegistryHosts(repositories []string) []string {
	var hosts []string
	for _, repo := range repositories {
		host, _, _ := strings.Cut(repo, "/")
		if strings.HasPrefix(host, "[") {
			continue // an address
		}
		host, _, _ = strings.Cut(host, ":")
		if _, err := netip.ParseAddr(host); err != nil && !strings.EqualFold(host, "localhost") && !strings.Contains(host+".", ".svc.") {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// hostsLines are the lines for /etc/hosts. hosts.sh knows them by their end.
func hostsLines(hosts []string) []byte {
	var out []byte
	for _, host := range hosts {
		out = fmt.Appendf(out, "%s %s # nodeseal\n", unreachable, host)
	}
	return out
}

// hostsUnit answers for registries that the node never reaches: CRI-O up to 1.34 looks the
// name of an image's registry up before it pulls, and waits where DNS does not answer. The
// lines are no file of a MachineConfig, because OpenShift's node-resolver writes to
// /etc/hosts, too. They are there while the unit is active.
func (s Settings) hostsUnit() unitText {
	u := unitText{name: HostsUnit, enabled: true}
	u.set("Unit", "Description", "Answers in /etc/hosts for registries that this node never reaches")
	u.set("Unit", "Before", readers)
	u.set("Service", "Type", "oneshot")
	u.set("Service", "RemainAfterExit", "yes")
	u.set("Service", "ExecStart", "/bin/sh", HostsScript, "add")
	u.set("Service", "ExecStop", "/bin/sh", HostsScript, "remove")
	u.set("Service", "TimeoutStartSec", "30")
	u.set("Service", "MemoryMax", "64M")
	u.set("Service", "TasksMax", "16")
	u.harden("CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER")
	u.alone("/etc")
	u.set("Install", "WantedBy", "multi-user.target")
	return u
}
