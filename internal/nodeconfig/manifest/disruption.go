package manifest

import (
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

type machineConfiguration struct {
	typeMeta
	Metadata meta                     `json:"metadata"`
	Spec     machineConfigurationSpec `json:"spec"`
}

type machineConfigurationSpec struct {
	Policy disruptionPolicy `json:"nodeDisruptionPolicy"`
}

type disruptionPolicy struct {
	Files []disruptionFile `json:"files"`
	Units []disruptionUnit `json:"units"`
}

type disruptionFile struct {
	Path    string   `json:"path"`
	Actions []action `json:"actions"`
}

type disruptionUnit struct {
	Name    string   `json:"name"`
	Actions []action `json:"actions"`
}

type action struct {
	Type    string  `json:"type"`
	Reload  *target `json:"reload,omitempty"`
	Restart *target `json:"restart,omitempty"`
}

type target struct {
	ServiceName string `json:"serviceName"`
}

// NodeDisruptionPolicy returns the policy by which a change of our files and
// units reboots no node, but for storage.conf and tmpfiles.d. It is the one
// object that a cluster has: apply it on the server's side, which keeps the
// entries of others.
func NodeDisruptionPolicy(v Version, s machine.Settings) ([]byte, error) {
	if !v.AtLeast(minorDisruption) {
		return nil, machine.Refuse("OpenShift %s has no NodeDisruptionPolicy (it is from 4.%d on): every change reboots the pool; "+
			"pause it, apply all, then unpause", v, minorDisruption)
	}
	units, err := s.Units()
	if err != nil {
		return nil, err
	}
	reload := func(service string) []action { return []action{{Type: "Reload", Reload: &target{service}}} }
	policy := disruptionPolicy{Files: []disruptionFile{
		{Path: nodeconfig.RegistriesConfFile, Actions: reload("crio.service")},
		{Path: nodeconfig.AttachmentsFile, Actions: reload("crio.service")},
		{Path: machine.PinsFile, Actions: reload("crio.service")},
		{Path: machine.NameserverFile, Actions: reload("NetworkManager.service")},
		{Path: machine.HostsFile, Actions: []action{{Type: "None"}}},
		{Path: machine.HostsScript, Actions: []action{{Type: "None"}}},
		{Path: machine.KeyFile, Actions: []action{{Type: "None"}}},
		{Path: machine.InstallFile, Actions: []action{{Type: "None"}}},
	}}
	// What only some settings have may be added later, which must not reboot either.
	for _, name := range []string{machine.HostsUnit, machine.InstallUnit} {
		if !slices.ContainsFunc(units, func(u machine.Unit) bool { return u.Name == name }) {
			units = append(units, machine.Unit{Name: name, Enabled: true})
		}
	}
	for _, u := range units {
		if !strings.HasPrefix(u.Name, "nodeseal-") && !u.Enabled {
			continue // the operator's, or the stick's mount
		}
		actions := []action{{Type: "DaemonReload"}}
		if u.Name == nodeconfig.ServeUnitName {
			actions = append(actions, action{Type: "Restart", Restart: &target{u.Name}})
		}
		policy.Units = append(policy.Units, disruptionUnit{Name: u.Name, Actions: actions})
	}
	return encode(machineConfiguration{
		typeMeta: typeMeta{APIVersion: "operator.openshift.io/v1", Kind: "MachineConfiguration"},
		Metadata: meta{Name: "cluster"},
		Spec:     machineConfigurationSpec{Policy: policy},
	})
}
