//go:build attacks

package attacks

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

// TestLostImage takes an EROFS image with a layer that its tar-split, which came with it, does
// not give back: files in it have the checksums that it says.
func TestLostImage(t *testing.T) {
	dir := t.TempDir()
	path, file := filepath.Join(dir, "x.tar.zst"), filepath.Join(dir, "x.erofs")
	src := storetest.NewSource(t, bundle.Expanded)
	src.Add(storetest.Image{Repository: "quay.io/a/lost", Layers: [][]byte{storetest.Tar(t, storetest.File("a", "evil"), storetest.File(".wh.b", "content"))}})
	src.WriteRaw(t, path, src.RawInventory())
	if o := nodeseal(t, "", nil, nil, "import", path, "--image-out", file); o.Exit != 0 {
		t.Fatalf("import: %+v", o)
	}
	_, slots := disk(t)
	attack{
		Name: "chain: an EROFS image whose tar-split says that a layer is not to be had back", Before: "exit 0: the files have the checksums that came with them",
		Exit: 5, Says: "cannot be proven by its files",
	}.run(t, append([]string{"import", file}, slots...)...)
	// In the place of a bundle, the unit would mount it.
	stick := t.TempDir()
	must(t, os.Rename(file, filepath.Join(stick, "x.tar.zst")))
	must(t, os.Rename(file+".sha256", filepath.Join(stick, "x.tar.zst.sha256")))
	attack{
		Name: "stick: an EROFS image in the place of the bundle", Before: "the kernel mounts it before anything of it is proven",
		Exit: 1, Says: "is an image and no bundle",
	}.run(t, append([]string{"import-stick", stick, "--node", "n"}, slots...)...)
}

// TestOverlayAttributes gives files of a store the attributes by which overlay takes others.
func TestOverlayAttributes(t *testing.T) {
	for attribute, value := range map[string]string{"redirect": "/etc", "metacopy": ""} {
		root, _ := filledSlots(t)
		layers, err := filepath.Glob(filepath.Join(root, "overlay/*/diff/a"))
		if err != nil || len(layers) == 0 {
			t.Fatalf("files of layers: %v, %v", layers, err)
		}
		must(t, unix.Setxattr(layers[0], "trusted.overlay."+attribute, []byte(value), 0))
		attack{
			Name: "chain: trusted.overlay." + attribute + " on a file of a store: verify", Before: "OK, exit 0; podman shows the file of another layer",
			Exit: 4, Says: "trusted.overlay." + attribute,
		}.run(t, "verify", root)
	}
}

// TestImpliedDirectories takes a layer of a few files in directories that only their names imply.
func TestImpliedDirectories(t *testing.T) {
	var entries []storetest.Entry
	for i := range 1200 {
		entries = append(entries, storetest.File(strconv.Itoa(i)+"/"+strings.Repeat("d/", 2000)+"f", "x"))
	}
	path := filepath.Join(t.TempDir(), "x.tar.zst")
	src := storetest.NewSource(t, bundle.Expanded)
	src.Add(storetest.Image{Repository: "quay.io/a/deep", Layers: [][]byte{storetest.Tar(t, entries...)}})
	src.WriteRaw(t, path, src.RawInventory())
	_, slots := disk(t)
	for command, args := range map[string][]string{"verify": {"verify", path}, "import": append([]string{"import", path}, slots...)} {
		attack{
			Name: "bombs: a layer of 1,200 files whose names imply 2.4 million directories: " + command, Before: "does not end within 3 minutes; 32,000 files would take 3 GB and 256 GB of the disk, of which nothing is announced",
			Exit: 4, Says: "more than can be checked",
		}.run(t, args...)
	}
}

// TestManyBundles has more bundles on a stick than it could have for a reason.
func TestManyBundles(t *testing.T) {
	stick := t.TempDir()
	bomb := inventoryBomb(t, 8<<20, inventoryHead, ` `, `"images":[],"blobs":[]}`)
	for i := range 1000 {
		must(t, os.Link(bomb, filepath.Join(stick, string(rune('a'+i/100))+string(rune('a'+i/10%10))+string(rune('a'+i%10))+".tar.zst")))
	}
	attack{
		Name: "stick: 1,000 bundles with inventories of 8 MiB", Before: "reads all of them, for minutes, while the boot waits",
		Exit: 5, Says: "more than one bundle here",
		After: func(t *testing.T, o outcome) {
			if len(o.Stderr) > 4<<10 {
				t.Errorf("it prints %d bytes", len(o.Stderr))
			}
		},
	}.run(t, "import-stick", stick, "--root", emptySlots(t), "--node", "n")
}
