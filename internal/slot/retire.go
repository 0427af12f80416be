package slot

import (
	"context"
	"errors"
	"fmt"
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
		return nil, errors.Join(err, r.putBack(ctx, s))
	}
	if err := r.writeTimes(n, Times{}); err != nil {
		return nil, err
	}
	out.Readers = len(readers)
	switch {
	case s.Image != "":
		// The kernel keeps the file for what is mounted from it.
		_, err := r.sweepImages(n)
		return out, err
	case out.Readers > 0:
		return out, r.keep(s, readers)
	}
	return out, discard(ctx, r.swap(n))
}

// refuse returns an *InUseError where something needs s, else the containers
// that are mounted from it, by their layers.
func (r *Root) refuse(s *Slot, node Node) (readers []string, err error) {
	g, err := r.newGate(s, node)
	if err != nil {
		return nil, err
	}
	if uses := g.uses(); len(uses) > 0 {
		return nil, &InUseError{Slot: s.Name, Uses: uses}
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
	if err := r.exchange(r.places(s.Name), empty); err != nil {
		return ctx, err
	}
	return ctx, r.remount(s.Name)
}

// putBack undoes takeAway.
func (r *Root) putBack(ctx context.Context, s *Slot) error {
	if s.Image != "" {
		return r.putImageBack(s.Name)
	}
	n := s.Name
	if err := r.exchange(r.places(n), r.swap(n)); err != nil {
		return err
	}
	if _, err := protect(ctx, r.Path(n), r.mounts, false); err != nil {
		return err
	}
	if err := r.settled(n); err != nil {
		return err
	}
	return discard(ctx, r.swap(n))
}

// Held returns the names of the images that only slot s has, compared with the
// other slot: what is gone when s is retired.
func (r *Root) Held(s *Slot) ([]string, error) {
	other, err := r.Read(s.Name.Other())
	if err != nil {
		return nil, fmt.Errorf("comparing the slots: %w", err)
	}
	have := make(map[string]bool)
	for _, ref := range other.Store.References {
		have[ref.Name] = true
	}
	names := []string{}
	for _, ref := range s.Store.References {
		if !have[ref.Name] {
			names = append(names, ref.Name)
		}
	}
	return names, nil
}
