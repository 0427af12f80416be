package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
)

// osImage is an image of an operating system that nodes read, or will.
type osImage struct {
	ref string
	// kept says that its layers are there as a registry has them, or that nothing is known
	// of it.
	kept bool
	// booted says that nodes run it: the next upgrade reads another one.
	booted bool
}

// osImages returns those of the cluster that are held, and those that are only held: of
// the release that comes next.
func (s *Snapshot) osImages() []osImage {
	booted := make(map[string]bool)
	for _, p := range s.pools() {
		booted[p.booted] = p.booted != ""
	}
	images := make(map[string]osImage)
	for _, e := range s.Images.List.Entries() {
		if e.Role != bundle.RoleOS || s.Held != nil && !s.Held.has(e.Ref) {
			continue // what is not held is missing-image's
		}
		img := osImage{ref: e.Ref, kept: s.Held == nil || s.Held.kept[e.Ref]}
		img.booted = s.Held != nil && slices.ContainsFunc(e.From, func(o bundle.Origin) bool {
			return o.Kind == "MachineConfig" && booted[o.Object]
		})
		images[e.Ref] = img
	}
	if s.Held != nil && len(images) > 0 {
		for _, ref := range s.Held.systems {
			if _, ok := images[ref]; !ok {
				images[ref] = osImage{ref: ref, kept: s.Held.kept[ref]}
			}
		}
	}
	return slices.SortedFunc(maps.Values(images), func(a, b osImage) int { return strings.Compare(a.ref, b.ref) })
}

// release is the version that the cluster wants, and its name.
func (s *Snapshot) release() (ocp.Version, string) {
	for _, r := range s.Images.Releases {
		if v, ok := ocp.Read(r.Version); ok {
			return v, "OpenShift " + v.String()
		}
	}
	return ocp.Version{}, "OpenShift of a version that is not known here" // reads a registry
}

// osFromRegistry finds operating systems whose layers a node would ask a registry for that
// does not have them.
func osFromRegistry(s *Snapshot) []Finding {
	version, name := s.release()
	source := version.OSSource()
	if source == ocp.OSLocal {
		return nil
	}
	var without []string // pools whose nodes upgrade from a registry
	pools := s.pools()
	for _, p := range pools {
		if p.empty {
			continue
		}
		if source == ocp.OSRegistry || len(s.pinnedSets(p.name)) == 0 {
			without = append(without, p.name)
		}
	}
	answered := s.answered()
	var out []Finding
	for _, img := range s.osImages() {
		covered := answered.covers(img.ref)
		if covered && img.kept {
			continue
		}
		f := Finding{Rule: "os-image-from-registry", Severity: Breaks, Object: img.ref}
		reads := name + " reads the layers of an operating system from a registry"
		if source == ocp.OSPinned {
			reads = fmt.Sprintf("%s reads the layers of an operating system from a registry, but for upgrades of nodes with a PinnedImageSet (pools without one: %s)",
				name, orNone(without))
		}
		lack := "the nodes' registries.conf does not send these pulls to `nodeseal serve` in every pool"
		f.Mend = "Apply `nodeseal config machineconfig --bundle BUNDLE` of a bundle that has the image."
		if !img.kept {
			lack = s.Held.Name + " has the image only unpacked"
			f.Mend = "Make the bundle without `--keep-original none` and import it: `nodeseal serve` answers its layers then."
		}
		f.What = reads + ", and " + lack + "."
		f.Why = "At the next upgrade rpm-ostree finds the layers nowhere: after five tries the pool is Degraded. A new or replaced node hangs in its first boot."
		switch {
		case source == ocp.OSPinned && len(pools) > 0 && len(without) == 0 || img.booted && covered:
			f.Severity = Warning
			f.Why = "A new or replaced node asks the registry in its first boot, finds the layers nowhere, and hangs."
		case source == ocp.OSPinned:
			f.Mend += " For upgrades alone, `nodeseal config pinnedimageset --os-only` is enough: the slot is read then."
		}
		out = append(out, f)
	}
	return out
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// missing says what happens if an image is nowhere, and what to do.
func missing(role string, from []bundle.Origin) (why, mend string) {
	mend = "Add it to the list and make a new bundle: `nodeseal list --cluster -o images.lst`."
	only := func(kind string) bool {
		return !slices.ContainsFunc(from, func(o bundle.Origin) bool { return o.Kind != kind })
	}
	switch {
	case role == bundle.RoleOS:
		return "It is the operating system: no pod starts from it. An upgrade or a change of this image finds its layers nowhere and the pool is Degraded; " +
			"a new or replaced node hangs in its first boot.", mend
	case only("PinnedImageSet"):
		return "The machine-config daemon pulls it into the primary store of each node that does not have it, and degrades the pool if it cannot.",
			"Import a bundle that has it, or take it out of the PinnedImageSet."
	}
	return "A node that has lost or never had it cannot get it: the pod stays in ImagePullBackOff.", mend
}
