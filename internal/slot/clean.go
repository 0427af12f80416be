package slot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Clean removes what commands that were cut short have left, stores in the
// making and old ones, and returns the paths. The next import begins anew.
// Errors wrap ErrBusy where a command is at work.
func (r *Root) Clean(ctx context.Context) ([]string, error) {
	if _, err := os.Stat(r.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	removed, err := r.sweep(ctx)
	if err != nil {
		return removed, err
	}
	for _, n := range Names() {
		found, err := r.clearDir(ctx, n)
		removed = append(removed, found...)
		if err == nil {
			found, err = r.clearImage(n)
			removed = append(removed, found...)
		}
		if err != nil {
			return removed, fmt.Errorf("cleaning: %w", err)
		}
	}
	return removed, nil
}
