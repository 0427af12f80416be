package slot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Clean removes what commands that were cut short have left, stores in the
// making and old ones, and returns the paths. The next import starts over. What of one
// slot cannot be removed does not keep it from the other's. Errors wrap filelock.ErrBusy where a
// command is at work, store.ErrPrecondition where something is mounted in what is to go.
func (r *Root) Clean(ctx context.Context) ([]string, error) {
	if _, err := os.Stat(r.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	removed, bad := r.sweep(ctx)
	for _, n := range Names() {
		dirs, err := clearDir(ctx, r.prepared(n))
		bad.add(n, err)
		images, err := clearImage(r.places(n).preparedFile())
		bad.add(n, err)
		removed = append(append(removed, dirs...), images...)
	}
	if err := bad.err(); err != nil {
		return removed, fmt.Errorf("cleaning: %w", err)
	}
	return removed, nil
}
