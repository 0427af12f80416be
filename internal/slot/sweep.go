package slot

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
)

// faults are what is wrong with slots, by name. One slot's faults are no reason to
// leave the other alone.
type faults map[Name]error

func (f faults) add(n Name, err error) {
	if err != nil {
		f[n] = errors.Join(f[n], err)
	}
}

// err returns all of them, nil for none.
func (f faults) err() error {
	var errs []error
	for _, n := range Names() {
		errs = append(errs, f[n])
	}
	return errors.Join(errs...)
}

// sweep removes what is left of exchanges that were cut short, and puts back a store that a
// killed retire had taken out of its slot without being sure. What cannot be removed
// is a fault of the slot that it was of. Mounts that an exchange had taken away come
// back.
func (r *Root) sweep(ctx context.Context) (removed []string, found faults) {
	found = make(faults)
	for _, n := range Names() {
		back, err := r.recall(ctx, n)
		found.add(n, err)
		removed = append(removed, back...)
		dropped, err := r.sweepSwap(ctx, n)
		found.add(n, err)
		images, err := r.sweepImages(n)
		found.add(n, err)
		kept, kerr := r.sweepKept(ctx, n)
		found.add(n, kerr)
		found.add(n, r.settle(n))
		removed = slices.Concat(removed, dropped, images, kept)
	}
	return append(removed, r.sweepPartials()...), found
}

// sweepSwap removes the directories that an exchange of slot n has left, and what is left of
// stores that were being removed.
func (r *Root) sweepSwap(ctx context.Context, n Name) (removed []string, err error) {
	for _, path := range r.strayDirs(n) {
		var derr error
		if path == r.swap(n) {
			derr = r.drop(ctx, r.places(n))
		} else {
			derr = discard(ctx, path)
		}
		if derr != nil {
			err = errors.Join(err, derr)
			continue
		}
		removed = append(removed, path)
	}
	return removed, err
}

// strayDirs are what sweepSwap removes.
func (r *Root) strayDirs(n Name) (paths []string) {
	for _, path := range []string{r.swap(n), r.emptied(n)} {
		if there(path) {
			paths = append(paths, path)
		}
	}
	for _, pattern := range []string{"*-" + string(n) + goneSuffix, keptPrefix + string(n) + "-*" + goneSuffix} {
		found, err := filepath.Glob(filepath.Join(r.work(), pattern))
		if err == nil { // there is no other with these patterns
			paths = append(paths, found...)
		}
	}
	return paths
}
