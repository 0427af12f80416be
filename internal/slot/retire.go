package slot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nodeseal/nodeseal/internal/store/image"
)

// Retired says what Retire did.
type Retired struct {
	Slot Name
	// Release is what the slot held, Images how many.
	Release string
	Images  int
	// Already says that it was empty before.
	Already bool
	// Readers counts the running containers that still read shared layers of the
	// old store: it is kept, out of sight, until they have ended.
	Readers int
}

// Retire empties slot n: an empty store takes its place. It refuses with an
// *InUseError while something of the node needs it, and looks once more after
// the exchange, when nothing new can begin to; then it puts the store back.
// A slot that is no valid store is not emptied, nor one inside of which something is
// mounted; what is wrong with the other slot does not matter. It may be called again.
func (r *Root) Retire(ctx context.Context, n Name, node Node) (*Retired, error) {
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, bad := r.init(ctx); bad[n] != nil {
		return nil, bad[n]
	}
	s, err := r.Read(n)
	if err != nil {
		return nil, err
	}
	out := &Retired{Slot: n, Release: s.Release(), Images: len(s.Store.Images), Already: s.Free()}
	if out.Already {
		return out, nil
	}
	if _, err := r.refuse(s, node); err != nil {
		return nil, err
	}
	ctx, err = r.takeAway(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := r.step("look again"); err != nil {
		return nil, err
	}
	readers, err := r.refuse(s, node)
	if err != nil {
		return nil, errors.Join(err, r.putBack(ctx, n))
	}
	out.Readers = len(readers)
	if err := r.step("give up"); err != nil {
		return nil, err
	}
	if err := r.giveUp(ctx, s, readers); err != nil {
		return out, err
	}
	return out, r.writeTimes(n, Times{})
}

// giveUp removes what was taken out of the slot of s, once nothing needs it, or keeps
// it for its readers. Until its first step is done, the next command after a kill
// puts the store back.
func (r *Root) giveUp(ctx context.Context, s *Slot, readers []string) error {
	switch {
	case s.Image != "":
		// The kernel keeps the file for what is mounted from it.
		if err := image.Remove(r.retiringImage(s.Name)); err != nil {
			return err
		}
		_, err := r.sweepImages(s.Name)
		return err
	case len(readers) > 0:
		return r.keep(s.Name, r.retiring(s.Name), readers)
	}
	return discard(ctx, r.retiring(s.Name))
}

// refuse returns an *InUseError where something needs s, else the containers
// that are mounted from it, by their layers.
func (r *Root) refuse(s *Slot, node Node) (readers []string, err error) {
	g, err := r.newGate(s, node)
	if err != nil {
		return nil, err
	}
	if uses := g.uses(); len(uses) > 0 {
		return nil, &InUseError{Slot: s.Name, Root: r.dir, Uses: uses}
	}
	return g.readers, nil
}

// takeAway puts an empty store in the place of s. The context it returns is not
// interrupted any more.
func (r *Root) takeAway(ctx context.Context, s *Slot) (context.Context, error) {
	if s.Image != "" {
		return context.WithoutCancel(ctx), r.takeImage(s.Name)
	}
	empty, err := r.makeEmpty(ctx, s.Name)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return ctx, err
	}
	ctx = context.WithoutCancel(ctx)
	if err := r.exchange(r.retirePlaces(s.Name), empty); err != nil {
		return ctx, err
	}
	return ctx, r.remount(s.Name)
}

// retirePlaces are those of an exchange that can be undone until giveUp.
func (r *Root) retirePlaces(n Name) places {
	return places{path: r.Path(n), swap: r.retiring(n), slot: n}
}

// putBack undoes takeAway.
func (r *Root) putBack(ctx context.Context, n Name) error {
	if isFile(r.retiringImage(n)) {
		return r.putImageBack(n)
	}
	if err := r.exchange(r.retirePlaces(n), r.retiring(n)); err != nil {
		return err
	}
	if _, err := protect(ctx, r.Path(n), r.mounts, false); err != nil {
		return err
	}
	if err := r.settled(n); err != nil {
		return err
	}
	if err := r.step("put back"); err != nil {
		return err
	}
	return discard(ctx, r.retiring(n))
}

// Held returns the names of the images that only slot s has, compared with the
// other slot: what is gone when s is retired.
func (r *Root) Held(s *Slot) ([]string, error) {
	other, err := r.Read(s.Name.Other())
	if err != nil {
		return nil, fmt.Errorf("comparing the slots: %w", err)
	}
	have := make(map[string]bool)
	for _, ref := range slices.Concat(other.Store.References, other.Store.Artifacts) {
		have[ref.Name] = true
	}
	names := []string{}
	for _, ref := range slices.Concat(s.Store.References, s.Store.Artifacts) {
		if !have[ref.Name] {
			names = append(names, ref.Name)
		}
	}
	return names, nil
}
