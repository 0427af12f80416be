package ocp

import "strings"

// PinnedImagesFile is CRI-O's drop-in that the machine-config daemon writes for the
// PinnedImageSets of a node. Of the drop-ins that have pinned_images, CRI-O takes the
// array of the one whose name sorts last, whole.
const PinnedImagesFile = "/etc/crio/crio.conf.d/50-pinned-images"

// Uncovered returns those of refs that no pattern of CRI-O's pinned_images pins: an exact
// reference, the start of one with a star, or a part between two.
func Uncovered(pins, refs []string) []string {
	var out []string
	for _, ref := range refs {
		if !covered(pins, ref) {
			out = append(out, ref)
		}
	}
	return out
}

func covered(pins []string, ref string) bool {
	for _, pin := range pins {
		start, glob := strings.CutSuffix(pin, "*")
		part, keyword := strings.CutPrefix(start, "*")
		switch {
		case glob && keyword && strings.Contains(ref, part):
			return true
		case glob && strings.HasPrefix(ref, start), pin == ref:
			return true
		}
	}
	return false
}
