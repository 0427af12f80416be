//go:build attacks

package attacks

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/rmtree"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

// disk makes the disk of another machine, whose slots commands fill without mounts, and
// returns the flags that name it.
func disk(t *testing.T) (slots string, flags []string) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "etc"), 0o755))
	t.Cleanup(func() { must(t, rmtree.RemoveAll(dir)) }) // with their flags
	return filepath.Join(dir, "slots"), []string{"--sysroot", dir, "--root", "/slots"}
}

// TestLies runs commands on the lies that were believed once.
func TestLies(t *testing.T) {
	const ran = "exit 0; podman runs the foreign image under the list's digest"
	before := map[string]map[string]string{
		"another image under a list's digest": {"verify": "exit 4", "import": ran, "reseal": ran, "import-stick": ran, "image-out": ran},
		"a reference of another digest":       {"verify": "OK, exit 0", "import": "exit 4"},
		"a manifest's media type":             {"verify": "exit 4", "import": "exit 0"},
		"a name of another image's signatures": {
			"verify": "OK, exit 0", "import": "exit 0; it stands for the signatures of the image",
		},
	}
	for _, lie := range storetest.Lies() {
		stick := t.TempDir()
		path := filepath.Join(stick, "x.tar.zst")
		lie.Write(t, path)
		_, slots := disk(t)
		for command, args := range map[string][]string{
			"verify":       {"verify", path},
			"import":       append([]string{"import", path}, slots...),
			"reseal":       append([]string{"reseal", path}, slots...),
			"import-stick": append([]string{"import-stick", stick, "--node", "n"}, slots...),
			"image-out":    {"import", path, "--image-out", filepath.Join(t.TempDir(), "x.erofs")},
		} {
			if was := before[lie.Name][command]; was != "" {
				attack{Name: "chain: " + lie.Name + ": " + command, Before: was, Exit: 4, Says: lie.Says, Silent: "\nOK:"}.run(t, args...)
			}
		}
	}
}

// TestLyingStore reads a store whose records, inventory and blobs agree on a foreign image.
func TestLyingStore(t *testing.T) {
	root, slots := disk(t)
	path := filepath.Join(t.TempDir(), "x.tar.zst")
	src := storetest.NewLies(t)
	src.WriteRaw(t, path, src.RawInventory())
	if o := nodeseal(t, "", nil, nil, append([]string{"import", path, "--no-seal"}, slots...)...); o.Exit != 0 {
		t.Fatalf("import: %+v", o)
	}
	store := filepath.Join(root, "a")
	storetest.LieStore(t, store)
	attack{
		Name: "chain: a store whose records name a foreign image by a list's digest: status", Before: "OK",
		Exit: 4, Says: "it does not name sha256:",
	}.run(t, append([]string{"status"}, slots...)...)
	attack{
		Name: "chain: a store whose records name a foreign image by a list's digest: verify", Before: "OK, exit 0",
		Exit: 4, Says: "it does not name sha256:",
	}.run(t, "verify", store)
}

// TestChangedImage changes a file in an EROFS image, and the sum beside it.
func TestChangedImage(t *testing.T) {
	dir := t.TempDir()
	path, file := filepath.Join(dir, "x.tar.zst"), filepath.Join(dir, "x.erofs")
	src := storetest.NewSource(t, bundle.Expanded)
	content := strings.Repeat("what was proven\n", 4096)
	src.Add(storetest.Image{Repository: "quay.io/a/good", Layers: [][]byte{storetest.Tar(t, storetest.File("a", content))}})
	src.WriteRaw(t, path, src.RawInventory())
	if o := nodeseal(t, "", nil, nil, "import", path, "--image-out", file); o.Exit != 0 {
		t.Fatalf("import: %+v", o)
	}
	data, err := os.ReadFile(file)
	must(t, err)
	i := bytes.Index(data, []byte("what was proven\nwhat was proven\n"))
	if i < 0 {
		t.Fatal("the image does not have the file's bytes")
	}
	copy(data[i:], "bad")
	must(t, os.Remove(file))
	must(t, os.WriteFile(file, data, 0o600))
	sum := sha256.Sum256(data)
	must(t, os.WriteFile(file+".sha256", []byte(hex.EncodeToString(sum[:])+"  x.erofs\n"), 0o600))
	_, slots := disk(t)
	attack{
		Name: "chain: three bytes of a file in an EROFS image, and its sum beside it", Before: "exit 0, and verify says OK",
		Exit: 4, Says: "damaged",
	}.run(t, append([]string{"import", file}, slots...)...)
}

// TestForeignPartial goes on with an import that another user left.
func TestForeignPartial(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(t.TempDir(), "x.tar.zst")
	src := storetest.NewLies(t)
	src.WriteRaw(t, path, src.RawInventory())
	partial := filepath.Join(dir, ".store.partial")
	must(t, os.MkdirAll(filepath.Join(partial, "store"), 0o755))
	must(t, os.Chown(partial, 1001, 1001))
	attack{
		Name: "chain: what an interrupted import of another user left", Before: "taken over with 129 changed files, exit 0",
		Exit: 5, Says: "it belongs to the user 1001",
	}.run(t, "import", path, "--no-seal", "--store", filepath.Join(dir, "store"))
}

// TestSizes says sizes whose sum is more than 64 bits hold.
func TestSizes(t *testing.T) {
	for _, command := range []string{"verify", "import", "inspect"} {
		src := storetest.NewLies(t)
		src.Edit(func(inv *bundle.Inventory) {
			for i := range inv.Blobs {
				inv.Blobs[i].Size = 1<<63 - 1
			}
		})
		path := filepath.Join(t.TempDir(), "x.tar.zst")
		src.WriteRaw(t, path, src.RawInventory())
		attack{
			Name: "bombs: sizes of 2^63-1 in an inventory: " + command, Before: "panics",
			Exit: 4, Says: "more than",
		}.run(t, command, path)
	}
}

// TestInventoryForges has a line of a good result in a reference.
func TestInventoryForges(t *testing.T) {
	src := storetest.NewLies(t)
	src.Edit(func(inv *bundle.Inventory) { inv.Images[0].Names = []string{"quay.io/x/y:1" + esc + bidi + forged} })
	path := filepath.Join(t.TempDir(), "x.tar.zst")
	src.WriteRaw(t, path, src.RawInventory())
	for _, command := range []string{"inspect", "verify", "import"} {
		attack{
			Name: "output: a line break, an escape sequence, and U+202E in a reference of a bundle: " + command, Before: "prints them, and a line \"OK: 999 images\"",
			Exit: 4, Says: `\x1b[2J`, After: showsNothing,
		}.run(t, command, path)
	}
}
