package storetest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.podman.io/storage"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
)

// LieStore changes the store of NewLies in dir, which is not sealed, to what an import of
// ForeignUnderList would write: inventory, records and references agree that quay.io/b/evil is
// what the list of quay.io/a/good means, and every file has the digest that it is named by.
func LieStore(t testing.TB, dir string) {
	t.Helper()
	var inv bundle.Inventory
	edit(t, filepath.Join(dir, store.OwnDir, "inventory.json"), &inv, func() {
		i := slices.IndexFunc(inv.Images, func(img bundle.Image) bool { return img.Index != "" })
		ForeignUnderList(&inv.Images[i], inv.Images[1-i])
	})
	evil := inv.Images[0].Config.Digest.Encoded()
	var refs []store.Reference
	edit(t, filepath.Join(dir, store.OwnDir, "references.json"), &refs, func() {
		for i := range refs {
			refs[i].ImageID = evil
		}
	})
	var images []storage.Image
	edit(t, filepath.Join(dir, store.ImagesDir, "images.json"), &images, func() {
		i := slices.IndexFunc(images, func(img storage.Image) bool { return img.ID == evil })
		good, bad := &images[1-i], &images[i]
		bad.Names = append(bad.Names, good.Names...)
		bad.NamesHistory = append(bad.NamesHistory, good.NamesHistory...)
		key := storage.ImageDigestManifestBigDataNamePrefix + "-" + inv.Images[0].Index.String()
		bad.BigDataNames = append(bad.BigDataNames, key)
		bad.BigDataSizes[key], bad.BigDataDigests[key] = good.BigDataSizes[key], good.BigDataDigests[key]
		copyList(t, filepath.Join(dir, store.ImagesDir), good.ID, bad.ID)
		images = []storage.Image{*bad}
	})
}

// copyList moves the list from one image's folder to another's, and removes the first.
func copyList(t testing.TB, images, from, to string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(images, from))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(images, from, f.Name()))
		if err == nil && isList(data) {
			err = os.WriteFile(filepath.Join(images, to, f.Name()), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(images, from)); err != nil {
		t.Fatal(err)
	}
}

func isList(data []byte) bool { return strings.Contains(string(data), `"manifests"`) }

// edit decodes the JSON file into v, and writes what change made of it.
func edit(t testing.TB, path string, v any, change func()) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		t.Fatal(err)
	}
	change()
	if data, err = json.Marshal(v); err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
