// Package travel has the audit's rules about what hangs a cluster that was shipped as missing images
// do: certificates that expire while it is off, nodes with no source of time, and a name of the API
// that no server answers. The rules are pure, and each says where its fact comes from.
package travel

import (
	"slices"
	"strings"
	"time"

	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// Pool is a MachineConfigPool with the files that its nodes get, of those that LooksAt reports.
type Pool struct {
	Name  string
	Files []kubeobject.HostFile
}

// Cluster is what the rules look at.
type Cluster struct {
	// Objects are those of a cluster by Kind.group.
	Objects map[string][]kubeobject.Object
	Pools   []Pool
	// Now is when the objects were read, by the cluster's own clock: the last heartbeat of a node. The
	// zero time is not known.
	Now time.Time
}

const infrastructures = "Infrastructure.config.openshift.io"

// The files of nodes that rules look at.
const (
	chronyConf = "/etc/chrony.conf"
	hostsFile  = "/etc/hosts"
	dnsmasqDir = "/etc/dnsmasq.d/"
)

// LooksAt reports the files of MachineConfigs that the rules look at.
func LooksAt(path string) bool {
	return isOfChrony(path) || path == hostsFile || strings.HasPrefix(path, dnsmasqDir)
}

// isOfChrony reports chrony.conf and the files that it may include, of the places that are usual: what
// is included from another one is not known. Its keys are not read.
func isOfChrony(path string) bool {
	return strings.HasPrefix(path, "/etc/chrony") && !strings.HasSuffix(path, ".keys")
}

// Watches reports the ConfigMaps that the rules read.
func Watches(o kubeobject.Object) bool {
	return o.GroupKind() == "ConfigMap" && slices.ContainsFunc(authorities(), func(a authority) bool { return a.is(o) })
}

// Check applies the rules.
func Check(c Cluster) []rule.Finding {
	return slices.Concat(c.certificates(), c.timeSources(), c.apiNames())
}

// infrastructure is what is read of Infrastructure (openshift/api, config/v1/types_infrastructure.go).
type infrastructure struct {
	Status struct {
		Internal string `json:"apiServerInternalURI"`
		Platform struct {
			Type string `json:"type"`
		} `json:"platformStatus"`
	} `json:"status"`
}

// infrastructure returns the cluster's, and whether there is one.
func (c Cluster) infrastructure() (v infrastructure, ok bool) {
	for _, o := range c.Objects[infrastructures] {
		v = infrastructure{}
		if o.Decode(&v) == nil {
			return v, true
		}
	}
	return infrastructure{}, false
}
