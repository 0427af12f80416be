//go:build attacks

package attacks

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

// TestKeptLayer puts other things in the place of a layer that a store keeps as a registry
// has it, and that nodeseal serve would answer.
func TestKeptLayer(t *testing.T) {
	for _, c := range []struct {
		name    string
		replace func(path string) error
	}{
		{"a link to /dev/zero", func(path string) error {
			return os.Symlink("/dev/zero", path)
		}},
		{"another content of the same length", nil},
	} {
		src := storetest.NewSource(t, bundle.Expanded)
		img := src.Add(storetest.Image{
			Repository: "example.com/os", Layers: [][]byte{storetest.Tar(t, storetest.File("usr/kernel", "kernel"))},
			Compression: "gzip", Original: true,
		})
		target := filepath.Join(t.TempDir(), "store")
		_, err := dir.Import(t.Context(), src, target, store.ImportOptions{})
		must(t, err)
		path := filepath.Join(target, filepath.FromSlash(store.OriginalPath(img.Layers[0].Digest)))
		replace := c.replace
		if replace == nil {
			replace = func(path string) error {
				return os.WriteFile(path, make([]byte, img.Layers[0].Size), store.OriginalMode)
			}
		}
		must(t, os.Remove(path))
		must(t, replace(path))
		attack{
			Name: "slot: " + c.name + " in the place of a kept layer: verify", Before: "not tried",
			Exit: 4, Says: "DAMAGED  nodeseal/layers/sha256/", Silent: "0 references hurt",
		}.run(t, "verify", target)
	}
}
