package nodestatus

import (
	"fmt"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
)

// systems warns of operating systems that rpm-ostree would ask a registry for.
func (c *collector) systems() {
	for _, s := range c.slots {
		if s.Inventory == nil {
			continue
		}
		for _, message := range onlyUnpacked(s.Inventory) {
			c.warn(s.Path, "%s", message)
		}
	}
}

// onlyUnpacked says what happens with operating systems whose layers are not kept as a
// registry has them. The machine-config daemon of their own release reads them.
func onlyUnpacked(inv *bundle.Inventory) []string {
	version, name := ocp.Version{}, "OpenShift before 4.23"
	if inv.Release != nil {
		if v, ok := ocp.Read(inv.Release.Version); ok {
			version, name = v, "OpenShift "+v.String()
		}
	}
	what := "an upgrade to it degrades the pool, and the first boot of a new node hangs"
	switch version.OSSource() {
	case ocp.OSLocal:
		return nil
	case ocp.OSPinned:
		what = "an upgrade to it degrades the pool if that has no PinnedImageSet, and the first boot of a new node hangs"
	case ocp.OSRegistry:
	}
	var out []string
	for i := range inv.Images {
		if img := &inv.Images[i]; img.Role == bundle.RoleOS && !img.Original {
			out = append(out, fmt.Sprintf("it has the operating system %s only unpacked, and %s reads its layers from a registry: "+
				"with none, %s; a bundle without --keep-original none has them", img.Ref, name, what))
		}
	}
	return out
}
