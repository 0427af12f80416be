package push

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/dryrun"
)

// Plan asks the registry what it has, and says what Run would send.
func Plan(ctx context.Context, o Options) (*dryrun.Plan, error) {
	p, err := prepare(ctx, &o)
	if err != nil {
		return nil, err
	}
	if err := p.none(); err != nil {
		return nil, err
	}
	out := &dryrun.Plan{}
	counted := make(map[need]bool)
	var send, mount Amount
	for i, it := range p.plan.items {
		if err := p.out.Images[i].Err; err != nil {
			out.Note(fmt.Sprintf("%s would NOT be pushed: %v", it.Ref, err))
			continue
		}
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
	out.Note(fmt.Sprintf("to send: %s, %d bytes; in the registry already: %s, %d bytes; to take from other repositories there, if the registry does that: %s, %d bytes",
		count(send.Blobs, "blob"), send.Bytes, count(p.out.There.Blobs, "blob"), p.out.There.Bytes, count(mount.Blobs, "blob"), mount.Bytes))
	if i := slices.IndexFunc(p.plan.items, func(it *item) bool { return it.changed }); i >= 0 {
		out.Note("images with recompressed layers get other digests: references by digest do not find them")
	}
	return out, p.foresee(ctx, out)
}

// foresee notes the lists that would not be complete in the registry.
func (p *pusher) foresee(ctx context.Context, out *dryrun.Plan) error {
	there := p.arrived()
	seen := make(map[string]bool)
	for i, it := range p.plan.items {
		for _, pl := range it.places {
			at := pl.repository + "@" + it.Index.String()
			if !pl.byList || it.changed || p.out.Images[i].Err != nil || seen[at] {
				continue
			}
			seen[at] = true
			doc, err := p.list(ctx, it.Index)
			if err != nil {
				return err
			}
			lacks, err := p.missing(ctx, doc, pl.repository, there)
			if err != nil {
				return fmt.Errorf("asking %s what it has: %w", p.o.Target, err)
			}
			if len(lacks) > 0 {
				out.Note(fmt.Sprintf("the list of %s would be without %s: most registries refuse such a list, and then references by its digest do not find the image",
					it.Ref, strings.Join(lacks, ", ")))
			}
		}
	}
	return nil
}
