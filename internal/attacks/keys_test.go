//go:build attacks

package attacks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
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

// TestOlderBundle imports an older bundle that the key signed. A signature says who made a
// bundle, not when: it is taken, into the free slot, and changes nothing of what is there.
func TestOlderBundle(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	root, slots := disk(t)
	etc := filepath.Join(slots[1], "etc/nodeseal")
	must(t, os.MkdirAll(etc, 0o755))
	must(t, os.WriteFile(filepath.Join(etc, "bundle.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
	signed := func(version string, size int) (path string) {
		r := newRelease(bundle.Expanded, seekable.FrameSize)
		r.inv.Release = &bundle.Release{Version: version}
		r.add(t, zeros(t, "file", size), nil, 0)
		path = r.write(t)
		raw, err := r.inv.Marshal()
		must(t, err)
		sig, err := signature.Sign(raw, key)
		must(t, err)
		must(t, os.WriteFile(path+".sig", sig, 0o600))
		return path
	}
	inventory := func(slot string) string {
		data, err := os.ReadFile(filepath.Join(root, slot, "nodeseal/inventory.json"))
		must(t, err)
		return string(data)
	}
	older := signed("4.1.1", 128<<10)
	if o := nodeseal(t, "", nil, nil, append([]string{"import", signed("4.1.2", 256<<10), "--no-seal"}, slots...)...); o.Exit != 0 {
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
		},
	}.run(t, append([]string{"import", older, "--no-seal"}, slots...)...)
}
