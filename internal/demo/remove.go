package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/seal"
)

// Remove removes the directory of a demo; sealed says that its store may be.
func Remove(ctx context.Context, dir string, sealed bool) error {
	store := filepath.Join(dir, StoreDir)
	if _, err := os.Stat(store); err == nil && sealed {
		if _, err := seal.Unseal(ctx, store); err != nil {
			return fmt.Errorf("demo: cleaning up: %w", err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("demo: cleaning up: %w", err)
	}
	return nil
}
