package slot

import (
	"context"
	"errors"
	"os"
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

// sweep removes what is left of exchanges that were cut short. What cannot be removed
// is a fault of the slot that it was of. Mounts that an exchange had taken away come
// back.
func (r *Root) sweep(ctx context.Context) (removed []string, found faults) {
	found = make(faults)
	for _, n := range Names() {
		for _, path := range []string{r.swap(n), r.emptied(n)} {
			if _, err := os.Lstat(path); err != nil {
				continue
			}
			if err := discard(ctx, path); err != nil {
				found.add(n, err)
				continue
			}
			removed = append(removed, path)
		}
		images, err := r.sweepImages(n)
		found.add(n, err)
		kept, kerr := r.sweepKept(ctx, n)
		found.add(n, kerr)
		found.add(n, r.settle(n))
		removed = append(append(removed, images...), kept...)
	}
	return append(removed, r.sweepPartials()...), found
}
