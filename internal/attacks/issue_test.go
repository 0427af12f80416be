//go:build attacks

package attacks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/layout"
)

// TestNodeKey reads bundles on a node that has a key file, with two keys.
func TestNodeKey(t *testing.T) {
	var file []byte
	keys := make([]*ecdsa.PrivateKey, 2)
	for i := range keys {
		var err error
		keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		der, err := x509.MarshalPKIXPublicKey(keys[i].Public())
		must(t, err)
		file = append(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
	}
	stick := t.TempDir()
	path := filepath.Join(stick, "x.tar.zst")
	src := storetest.NewLies(t)
	src.WriteRaw(t, path, src.RawInventory())
	_, slots := disk(t)
	etc := filepath.Join(slots[1], "etc/nodeseal")
	must(t, os.MkdirAll(etc, 0o755))
	must(t, os.WriteFile(filepath.Join(etc, "bundle.pub"), file, 0o600))
	for command, args := range map[string][]string{
		"import": {"import", path, "--no-seal"}, "reseal": {"reseal", path}, "import-stick": {"import-stick", stick, "--node", "n"},
	} {
		attack{
			Name: "keys: a bundle without a signature on a node that has a key: " + command, Before: "exit 0, if --key was forgotten",
			Exit: 4, Says: "signature does not match",
		}.run(t, append(args, slots...)...)
	}
	sig, err := signature.Sign(src.RawInventory(), keys[1])
	must(t, err)
	must(t, os.WriteFile(path+".sig", sig, 0o600))
	attack{
		Name: "keys: a bundle that the second key of the file signed (rotation): import", Before: "refused: only the first key was used",
		Exit: 0,
	}.run(t, append([]string{"import", path, "--no-seal"}, slots...)...)
}

// TestResultPipe has a pipe where the result is left.
func TestResultPipe(t *testing.T) {
	dir := t.TempDir()
	emptyBundle(t, filepath.Join(dir, "x.tar.zst"))
	result := filepath.Join(dir, "result-n.txt")
	must(t, unix.Mkfifo(result, 0o600))
	_, slots := disk(t)
	attack{
		Name: "stick: a named pipe for the result", Before: "hangs for ever, SIGTERM ignored",
		Exit: 0,
		After: func(t *testing.T, _ outcome) {
			if info, err := os.Lstat(result); err != nil || !info.Mode().IsRegular() {
				t.Errorf("the result: %v, %v", info, err)
			}
		},
	}.run(t, append([]string{"import-stick", dir, "--node", "n"}, slots...)...)
}

// TestSlotZero has endless zeros for the records of a slot.
func TestSlotZero(t *testing.T) {
	a, flags := filledSlots(t)
	records := filepath.Join(a, "overlay-images/images.json")
	must(t, os.Remove(records))
	must(t, os.Symlink("/dev/zero", records))
	for command, args := range map[string][]string{"retire": {"retire", "a"}, "verify": {"verify", a}} {
		if command == "retire" {
			args = append(args, flags...)
		}
		attack{
			Name: "slot: a link to /dev/zero for images.json, " + command, Before: "out of memory",
			Exit: 4, Says: "a symbolic link",
		}.run(t, args...)
	}
}

// TestLayoutPaths calls the layout of an image with what is no digest; no command does.
func TestLayoutPaths(t *testing.T) {
	dir := t.TempDir()
	away, untouched := mine(t, "victim")
	l, err := layout.Create(filepath.Join(dir, "layout"))
	must(t, err)
	name, err := filepath.Rel(filepath.Join(dir, "layout/blobs/sha256"), filepath.Join(away, "victim"))
	must(t, err)
	for what, f := range map[string]func() error{
		"Remove(\"sha256:../../../victim\")": func() error { return l.Remove(digest.Digest("sha256:" + name)) },
		"Has(\"nonsense\")": func() error {
			if l.Has("nonsense") {
				return nil
			}
			return fmt.Errorf("it is not there")
		},
	} {
		before := "removes a file outside of the layout"
		if what[0] == 'H' {
			before = "panics"
		}
		if f() == nil {
			t.Errorf("%s: no error", what)
		}
		a := attack{Name: "library: layout.Dir." + what, Before: before, After: untouched}
		a.After(t, outcome{})
		results.note(a, "an error, 0 MiB")
	}
}
