package push

import (
	"slices"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/mirrorset"
)

// mirrorSets makes the objects for the sources of what the registry has now. Digests of images
// that were recompressed, or whose list was refused, are not there: a source with nothing else
// needs no mirror.
func (p *pusher) mirrorSets() (string, error) {
	sets := mirrorset.Sets{Mirror: string(p.o.Target)}
	for i, it := range p.plan.items {
		out := &p.out.Images[i]
		if out.Err != nil {
			continue
		}
		for _, s := range it.sources {
			switch {
			case s.tag:
				sets.Tags = append(sets.Tags, s.registry)
			case it.changed, s.list && out.List != nil && out.List.Err != nil:
			default:
				sets.Digests = append(sets.Digests, s.registry)
			}
		}
	}
	for _, names := range []*[]string{&sets.Digests, &sets.Tags} {
		slices.Sort(*names)
		*names = slices.Compact(*names)
	}
	return mirrorset.Text(sets)
}
