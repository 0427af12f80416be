package plan

import (
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/diskbudget"
)

// originals is what the layers take that a node keeps as a registry has them, each once.
func originals(images []bundle.Image) (n int64) {
	seen := make(map[digest.Digest]bool)
	for i := range images {
		if !images[i].Exact() {
			continue
		}
		for _, l := range images[i].Layers {
			if !seen[l.Digest] {
				seen[l.Digest] = true
				n += l.Size
			}
		}
	}
	return n
}

// systems is the compressed size of the largest operating system: a node boots one.
func systems(images []bundle.Image) (largest int64) {
	for i := range images {
		var n int64
		if images[i].Role == bundle.RoleOS {
			for _, l := range images[i].Layers {
				n += l.Size
			}
		}
		largest = max(largest, n)
	}
	return largest
}

// addDisk adds the budget of a node's disk: two slots, as there are around an upgrade, and
// two deployments of the operating system.
func (in Input) addDisk(p *Plan) {
	if in.NodeDisk <= 0 {
		return
	}
	p.Node.Disk = diskbudget.Of(in.NodeDisk,
		diskbudget.Item{What: "two slots, unpacked", Bytes: 2 * (p.Node.Dir - p.Node.Originals)},
		diskbudget.Item{What: "two slots, layers kept as a registry has them", Bytes: 2 * p.Node.Originals},
		diskbudget.Item{What: "two deployments of the operating system (ostree)", Bytes: 2 * p.Node.OS},
	)
}
