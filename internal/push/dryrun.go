package push

import (
	"context"
	"fmt"
	"slices"

	"github.com/nodeseal/nodeseal/internal/dryrun"
)

// Plan asks the registry what it has, and says what Run would send.
func Plan(ctx context.Context, o Options) (*dryrun.Plan, error) {
	p, err := prepare(ctx, &o)
	if err != nil {
		return nil, err
	}
	out := &dryrun.Plan{}
	counted := make(map[need]bool)
	var send, mount Amount
	for _, it := range p.plan.items {
		for _, pl := range it.places {
			var bytes int64
			for _, b := range it.all() {
				n := need{pl.repository, b}
				in := p.r.state(b.digest).in
				if counted[n] || in[pl.repository] {
					continue
				}
				counted[n] = true
				if len(in) > 0 {
					mount.add(b.size)
				} else {
					send.add(b.size)
					bytes += b.size
				}
				in[pl.repository] = true
			}
			out.Add("push", it.Ref+" to "+pl.repository, bytes)
		}
	}
	out.Note(fmt.Sprintf("to send: %s, %d bytes; in the registry already: %s, %d bytes; to take from other repositories there: %s, %d bytes",
		count(send.Blobs, "blob"), send.Bytes, count(p.out.There.Blobs, "blob"), p.out.There.Bytes, count(mount.Blobs, "blob"), mount.Bytes))
	if i := slices.IndexFunc(p.plan.items, func(it *item) bool { return it.changed }); i >= 0 {
		out.Note("images with recompressed layers get other digests: references by digest do not find them")
	}
	return out, nil
}
