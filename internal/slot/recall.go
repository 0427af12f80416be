package slot

import (
	"context"
)

// retired is what a killed retire has left of slot n.
type retired int

const (
	nothingRetired retired = iota
	// notTaken: the empty store was not exchanged, or the exchange was undone. It can go.
	notTaken
	// takenOut: the slot's store is out of the slot, and the second look at what needs it
	// was not over.
	takenOut
	// unclear: the slot cannot be read. Nothing is done about it.
	unclear
)

// recalls says how a killed retire has left slot n. A store that it had taken out may be in
// use: only the second look tells, with what is known of the cluster, and that died
// with it. So the store comes back, and retire has not happened.
func (r *Root) recalls(n Name) retired {
	path := r.retiring(n)
	switch {
	case isFile(r.retiringImage(n)) && !r.hasImage(n):
		return takenOut
	case !there(path):
		return nothingRetired
	}
	if s, err := readStore(n, path); err == nil && s.Store.Empty() || err != nil && hollow(path) {
		return notTaken
	}
	switch s, err := r.Read(n); {
	case err != nil:
		return unclear
	case s.Free():
		return takenOut
	}
	return notTaken
}

// recall puts back what a killed retire had taken out of slot n, and removes an empty store
// that it had not put in. It returns what it removed.
func (r *Root) recall(ctx context.Context, n Name) (removed []string, err error) {
	switch r.recalls(n) {
	case takenOut:
		return nil, r.putBack(context.WithoutCancel(ctx), n)
	case notTaken:
		if err := discard(ctx, r.retiring(n)); err != nil {
			return nil, err
		}
		return []string{r.retiring(n)}, nil
	}
	return nil, nil
}
