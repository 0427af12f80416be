package manifest

import (
	"fmt"
	"strings"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
)

// OperatingSystems are the images of operating systems that nodes will have.
type OperatingSystems struct {
	PinnedImages
	// Originals says that their layers are kept as a registry has them.
	Originals bool
}

// NeedsPinned reports whether nodes of the release need a PinnedImageSet of the operating
// systems to upgrade: serve cannot answer their layers, and the release reads
// containers-storage on nodes with such a set.
func (os OperatingSystems) NeedsPinned(v Version) bool {
	return len(os.Refs) > 0 && !os.Originals && v.OSSource() == ocp.OSPinned
}

// Lack says what would ask a registry for the operating system on nodes of the release,
// and what to do about it; "" is nothing.
func (os OperatingSystems) Lack(v Version, pinned bool) string {
	if len(os.Refs) == 0 || os.Originals || v.OSSource() == ocp.OSLocal {
		return ""
	}
	what := "upgrades and first boots of nodes"
	if pinned && v.OSSource() == ocp.OSPinned {
		what = "the first boot of a new or replaced node"
	}
	text := fmt.Sprintf("the bundle has %s only unpacked, and on OpenShift %s %s read its compressed layers from a registry: "+
		"make the bundle without --keep-original none", strings.Join(os.Refs, ", "), v, what)
	if v.NeedsPatch() {
		text += fmt.Sprintf(", or give the patch level: from %s on a PinnedImageSet is enough for upgrades", ocp.FirstPinned())
	}
	return text
}

// osText is the part of the README about the operating system.
func (o Options) osText() string {
	switch lack := o.OS.Lack(o.Version, len(o.Pinned.Refs) > 0); {
	case lack != "":
		return "NOT without a registry: " + lack + "."
	case o.Version.OSSource() == ocp.OSLocal:
		return fmt.Sprintf("OpenShift %s reads it from the slot, upgrades and first boots alike.", o.Version)
	case o.OS.Originals:
		return fmt.Sprintf("OpenShift %s reads its layers from a registry: `nodeseal serve` on the node has them.", o.Version)
	}
	return fmt.Sprintf("OpenShift %s reads its layers from a registry. `nodeseal serve` on the node has them if the\n"+
		"bundle keeps them, as `nodeseal bundle` does by default; `nodeseal inspect` says so.", o.Version)
}
