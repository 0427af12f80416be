package audit

import (
	"slices"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
)

// slowPulls finds pools whose pulls are answered on the node, and which wait for DNS all
// the same where it does not answer.
func slowPulls(s *Snapshot) []Finding {
	release, name := s.release()
	if release == (ocp.Version{}) || !release.LooksRegistryUp() {
		return nil
	}
	answered := s.answered()
	pulls := slices.ContainsFunc(s.Containers, func(c Container) bool {
		ref, err := imagelist.Normalize(c.Image)
		return err == nil && answered.covers(ref) && (c.Policy == "Always" || c.Policy == "" && imageTag(c.Image) == "latest")
	})
	if !pulls {
		return nil
	}
	var out []Finding
	for _, c := range s.inUse() {
		if _, ok := c.file(machine.HostsFile); ok {
			continue
		}
		out = append(out, Finding{
			Rule: "pull-waits-for-dns", Severity: Note, Object: "MachineConfigPool " + c.Role,
			What: "Containers with imagePullPolicy Always are answered by `nodeseal serve`, and the nodes have no " + machine.HostsUnit + ".",
			Why:  "CRI-O of " + name + " looks up the registry of the image before each pull: with a name server that does not answer, every start waits ten seconds.",
			Mend: "If the nodes never reach a registry, apply what `nodeseal config machineconfig --bundle FILE --no-registries` prints. Otherwise set imagePullPolicy to IfNotPresent.",
		})
	}
	return out
}
