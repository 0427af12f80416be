//go:build attacks

package attacks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/bundle/signature"
)

// TestEmptyKey calls a command as a script does whose variable is not set.
func TestEmptyKey(t *testing.T) {
	attack{
		Name: "keys: --key \"$KEY\" with KEY not set", Before: "nothing was checked, exit 0",
		Exit: 2, Says: "the value is empty",
	}.run(t, "verify", "release.tar.zst", "--key", "")
	attack{
		Name: "keys: NODESEAL_KEY set and empty", Before: "nothing was checked, exit 0",
		Exit: 2, Says: "the value is empty", Env: []string{"NODESEAL_KEY="},
	}.run(t, "import", "release.tar.zst")
	attack{
		Name: "keys: --policy \"$POLICY\" with POLICY not set", Before: "nothing was checked, exit 0",
		Exit: 2, Says: "the value is empty",
	}.run(t, "bundle", "--images", "images.lst", "-o", "x.tar.zst", "--policy", "")
}

// TestEndlessKey names a device as the key.
func TestEndlessKey(t *testing.T) {
	attack{
		Name: "keys: a key file without an end", Before: "out of memory",
		Exit: 2, Says: "key cannot be used",
	}.run(t, "bundle", "--images", "images.lst", "-o", "x.tar.zst", "--sign-key", "/dev/zero")
}

// keyPair makes a key, and its public half as a node has it.
func keyPair(t *testing.T) (key *ecdsa.PrivateKey, public []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	return key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// nodeKey gives the node of slots its key.
func nodeKey(t *testing.T, slots []string, public []byte) {
	t.Helper()
	etc := filepath.Join(slots[1], "etc/nodeseal")
	must(t, os.MkdirAll(etc, 0o755))
	must(t, os.WriteFile(filepath.Join(etc, "bundle.pub"), public, 0o600))
}

// signed writes a release of one image with a tag, and its signature.
func signed(t *testing.T, key *ecdsa.PrivateKey, version string, size int) (path string, image bundle.Image) {
	t.Helper()
	r := newRelease(bundle.Expanded, seekable.FrameSize)
	r.inv.Release = &bundle.Release{Version: version}
	r.add(t, zeros(t, "file", size), nil, 0)
	r.inv.Images[0].Names = []string{"registry.example/a/image-0:v1"}
	path = r.write(t)
	raw, err := r.inv.Marshal()
	must(t, err)
	sig, err := signature.Sign(raw, key)
	must(t, err)
	must(t, os.WriteFile(path+".sig", sig, 0o600))
	return path, r.inv.Images[0]
}

// TestOlderBundle imports an older bundle that the key signed. A signature says who made a
// bundle, not when: it is taken, into the free slot, and changes nothing of what is there.
// A tag that both have means in each slot what that slot's bundle says.
func TestOlderBundle(t *testing.T) {
	key, public := keyPair(t)
	root, slots := disk(t)
	nodeKey(t, slots, public)
	inventory := func(slot string) string {
		data, err := os.ReadFile(filepath.Join(root, slot, "nodeseal/inventory.json"))
		must(t, err)
		return string(data)
	}
	older, oldImage := signed(t, key, "4.1.1", 128<<10)
	newest, newImage := signed(t, key, "4.1.2", 256<<10)
	if o := nodeseal(t, "", nil, nil, append([]string{"import", newest, "--no-seal"}, slots...)...); o.Exit != 0 {
		t.Fatalf("import: %+v", o)
	}
	newer := inventory("a")
	attack{
		Name: "keys: an older bundle that the key signed: import", Before: "exit 0: a signature says who made a bundle, not when",
		Exit: 0, Says: "slots/b holds 1 image",
		After: func(t *testing.T, _ outcome) {
			if inventory("a") != newer || !strings.Contains(inventory("b"), "4.1.1") {
				t.Error("it is not in the free slot alone")
			}
			for slot, want := range map[string]bundle.Image{"a": newImage, "b": oldImage} {
				if got := tagged(t, filepath.Join(root, slot), "registry.example/a/image-0:v1"); got != want.Digest.String() {
					t.Errorf("in slot %s the tag means %s, want %s", slot, got, want.Digest)
				}
			}
		},
	}.run(t, append([]string{"import", older, "--no-seal"}, slots...)...)
}

// tagged returns the digest of the image that has a name in a store.
func tagged(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "overlay-images/images.json"))
	must(t, err)
	var images []struct {
		Digest string
		Names  []string
	}
	must(t, json.Unmarshal(data, &images))
	for _, image := range images {
		if slices.Contains(image.Names, name) {
			return image.Digest
		}
	}
	t.Errorf("%s has no %s: %s", dir, name, data)
	return ""
}

// TestStolenKey imports bundles that a stolen key signed: they are right until the node has
// another key.
func TestStolenKey(t *testing.T) {
	stolen, public := keyPair(t)
	_, other := keyPair(t)
	_, slots := disk(t)
	nodeKey(t, slots, public)
	first, _ := signed(t, stolen, "4.1.1", 128<<10)
	second, _ := signed(t, stolen, "4.1.2", 256<<10)
	attack{Name: "keys: a bundle that a stolen key signed: import", Before: "exit 0: keys do not expire"}.
		run(t, append([]string{"import", first, "--no-seal"}, slots...)...)
	nodeKey(t, slots, other)
	attack{
		Name: "keys: a bundle that a stolen key signed, the node has another one: import", Before: "not tried",
		Exit: 4, Says: "signature",
	}.run(t, append([]string{"import", second, "--no-seal"}, slots...)...)
}
