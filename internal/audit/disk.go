package audit

import "fmt"

// collectAt is where kubelet begins to remove images, in percent of the file
// system.
const collectAt = 85

// littleDisk finds nodes whose file system cannot take two slots and the images
// that it has without reaching kubelet's threshold.
func littleDisk(s *Snapshot) []Finding {
	if s.Held == nil || s.Held.Size == 0 {
		return nil
	}
	const gib = 1 << 30
	var out []Finding
	for _, n := range s.Nodes {
		need, limit := 2*s.Held.Size+n.ImageBytes, n.Disk/100*collectAt
		if n.Disk == 0 || need <= limit {
			continue
		}
		out = append(out, Finding{
			Rule: "little-disk", Severity: Breaks, Object: "Node " + n.Name,
			What: fmt.Sprintf("Two slots of %.1f GiB and the images that it has, %.1f GiB, are more than %d%% of its %.1f GiB.",
				float64(s.Held.Size)/gib, float64(n.ImageBytes)/gib, collectAt, float64(n.Disk)/gib),
			Why:  "Above that kubelet removes images and then evicts pods; there is nowhere to get them again.",
			Mend: "Put the stores on a disk of their own, or give the node a bigger one.",
		})
	}
	return out
}
