package audit

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
)

// pinsTwice finds pins of a drop-in and of PinnedImageSets of which one loses images: CRI-O
// takes the array of the last drop-in, whole.
func pinsTwice(s *Snapshot) []Finding {
	var out []Finding
	for _, c := range s.inUse() {
		sets := s.pinnedSets(c.Role)
		var file kubeobject.HostFile // the last one
		for _, f := range c.Files {
			if strings.HasPrefix(f.Path, crioConfDir) && f.Path > file.Path && len(pins(f.Content)) > 0 {
				file = f
			}
		}
		if len(sets) == 0 || file.Path == "" {
			continue
		}
		var refs []string
		for _, set := range sets {
			refs = append(refs, set.refs...)
		}
		own := pins(file.Content)
		last, lost := file.Path, ocp.Uncovered(own, refs)
		mend := fmt.Sprintf("Add patterns for them to %s, or delete the PinnedImageSet.", file.Path)
		if file.Path < ocp.PinnedImagesFile {
			last = ocp.PinnedImagesFile
			lost = slices.DeleteFunc(slices.Clone(own), func(pin string) bool { return slices.Contains(refs, pin) })
			mend = fmt.Sprintf("Give the file a name that sorts after %s, or drop its pins.", path.Base(ocp.PinnedImagesFile))
		}
		if len(lost) == 0 {
			continue
		}
		out = append(out, Finding{
			Rule: "pins-twice", Severity: Warning, Object: "MachineConfigPool " + c.Role,
			What: fmt.Sprintf("Images are pinned by %s and by %s; the last of CRI-O's drop-ins, %s, leaves out %d of them, among them %s.",
				file.Path, sets[0].String(), last, len(lost), lost[0]),
			Why:  "Arrays replace each other between CRI-O's drop-ins: kubelet tries to remove what only the other one pins.",
			Mend: mend,
		})
	}
	return out
}
