//go:build attacks

package attacks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

// TestProgram installs from a stick whose program is another one, with sums to match: the script
// is the node's own, and so is the key.
func TestProgram(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	public := write(t, "bundle.pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	script := write(t, "install.sh", string(machine.InstallScript()))
	other, err := os.ReadFile("/bin/echo")
	must(t, err)
	for _, c := range []struct {
		name, before, says string
		program, signed    []byte
	}{
		{"another program, and SHA256SUMS to match", "runs as root, and prints OK", "not signed by the key of this node", other, []byte("the right one")},
		{
			"the inventory of a signed bundle in the place of the program, with that bundle's signature", "a shell runs its text as root", "is not a program",
			storetest.NewLies(t).RawInventory(), storetest.NewLies(t).RawInventory(),
		},
	} {
		stick, target := t.TempDir(), filepath.Join(t.TempDir(), "nodeseal")
		sig, err := signature.Sign(c.signed, key)
		must(t, err)
		sum := sha256.Sum256(c.program)
		must(t, os.WriteFile(filepath.Join(stick, "nodeseal"), c.program, 0o600))
		must(t, os.WriteFile(filepath.Join(stick, "nodeseal.sig"), sig, 0o600))
		must(t, os.WriteFile(filepath.Join(stick, "SHA256SUMS"), []byte(hex.EncodeToString(sum[:])+"  nodeseal\n"), 0o600))
		attack{
			Name: "program: " + c.name + ": install.sh on a node with a key", Before: c.before,
			Exit: 1, Says: c.says, Silent: "OK:", Env: []string{"TARGET=" + target, "KEY=" + public, "ROOT=/slots"}, Stdin: []byte("yes\n"),
			After: func(t *testing.T, _ outcome) {
				if _, err := os.Lstat(target); err == nil {
					t.Error("the program was installed")
				}
			},
		}.script(t, script, stick)
	}
}
