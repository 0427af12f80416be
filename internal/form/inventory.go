package form

import (
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/store"
)

// IsInventoryOfStore reports whether path is the inventory.json of a store that can be opened. No
// signature lies beside it: it is believed as the store is.
func IsInventoryOfStore(path string) bool {
	path = filepath.Clean(path)
	dir := filepath.Dir(filepath.Dir(path))
	if path != filepath.Join(dir, store.InventoryFile) || !IsDir(dir) {
		return false
	}
	c, err := contents(dir, dir) // nothing is mounted for it
	return err == nil && c.Stored != nil
}
