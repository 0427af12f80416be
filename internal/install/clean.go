package install

import (
	"context"
	"fmt"

	"github.com/nodeseal/nodeseal/internal/slot"
)

// Clean removes what interrupted commands have left of the slots and beside the stores,
// and returns the paths. Errors are those of Root.Clean.
func Clean(ctx context.Context, root *slot.Root, stores []string) (removed []string, err error) {
	removed, err = root.Clean(ctx)
	for _, s := range stores {
		if err != nil {
			return removed, err
		}
		var found []string
		if found, err = slot.CleanStore(ctx, s); err != nil {
			err = fmt.Errorf("cleaning up after imports to %s: %w", s, err)
		}
		removed = append(removed, found...)
	}
	return removed, err
}
