package carry

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/nodeseal/nodeseal/internal/trust"
)

func newKey(t *testing.T, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if kind == "Ed25519" {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// nodeKeys writes the key file of a node.
func nodeKeys(t *testing.T, keys ...crypto.Signer) string {
	t.Helper()
	var data []byte
	for _, key := range keys {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
	}
	path := filepath.Join(t.TempDir(), "bundle.pub")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// withoutEnd takes the newline at the end off a file, as editors do.
func withoutEnd(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, bytes.TrimRight(data, "\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// signed are options with a signed bundle and the key that signs the program.
func signed(t *testing.T, key crypto.Signer) Options {
	t.Helper()
	opts := options(t)
	if _, err := trust.SignBundle(t.Context(), opts.Bundle, key); err != nil {
		t.Fatal(err)
	}
	opts.SignKey = key
	return opts
}

// install runs the node's own script on a stick and says whether the program ran.
func install(t *testing.T, stick, key, answer string) (ran bool, out string) {
	t.Helper()
	dir := t.TempDir()
	script := filepath.Join(dir, "install.sh")
	if err := os.WriteFile(script, machine.InstallScript(), 0o600); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "bin", "nodeseal")
	cmd := exec.CommandContext(t.Context(), "sh", script, stick)
	cmd.Env = append(os.Environ(), "TARGET="+target, "ROOT=/slots", "KEY="+key)
	cmd.Stdin = strings.NewReader(answer)
	text, err := cmd.CombinedOutput()
	ran = strings.Contains(string(text), "mount --root /slots")
	_, statErr := os.Stat(target)
	if (err == nil) != ran || (statErr == nil) != ran || strings.Contains(string(text), "OK: ") != ran {
		t.Errorf("half an installation: %v, %v\n%s", err, statErr, text)
	}
	if left, err := filepath.Glob(target + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	return ran, string(text)
}

// replace puts another program on the stick, with sums to match.
func replace(t *testing.T, stick string, content []byte) {
	t.Helper()
	sums, err := os.ReadFile(filepath.Join(stick, SumsFile))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(string(sums)), "\n") {
		if strings.HasSuffix(line, "  "+Program) {
			sum := sha256.Sum256(content)
			line = hex.EncodeToString(sum[:]) + "  " + Program
		}
		fmt.Fprintln(&out, line)
	}
	err = errors.Join(os.WriteFile(filepath.Join(stick, Program), content, 0o600), os.WriteFile(filepath.Join(stick, SumsFile), []byte(out.String()), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

// TestInstall: a node with a key runs a program that one of its keys signed, and no other,
// whatever SHA256SUMS says.
func TestInstall(t *testing.T) {
	t.Parallel()
	testenv.NeedTool(t, "openssl")
	for _, kind := range []string{"ECDSA", "Ed25519"} {
		key, other := newKey(t, kind), newKey(t, "ECDSA")
		stick := t.TempDir()
		res := fill(t, stick, signed(t, key))
		if !res.ProgramSigned || len(res.Keys) != 1 {
			t.Fatalf("%s: %+v", kind, res)
		}
		check(t, stick)
		for name, tt := range map[string]struct {
			key string
			ran bool
		}{
			"its key":           {nodeKeys(t, key), true},
			"the second key":    {nodeKeys(t, other, key), true},
			"the first key":     {nodeKeys(t, key, other), true},
			"another key":       {nodeKeys(t, other), false},
			"an empty key file": {nodeKeys(t), false},
			"a directory":       {t.TempDir(), false},
			"no end of line":    {withoutEnd(t, nodeKeys(t, other, key)), true},
		} {
			if ran, out := install(t, stick, tt.key, "yes\n"); ran != tt.ran {
				t.Errorf("%s, a node with %s: ran %t\n%s", kind, name, ran, out)
			}
		}
		evil := append(echo(t), "evil"...)
		mine := nodeKeys(t, key)
		replace(t, stick, evil)
		if ran, out := install(t, stick, mine, "yes\n"); ran || !strings.Contains(out, "not signed by the key of this node") {
			t.Errorf("%s: another program with sums to match:\n%s", kind, out)
		}
		sig, err := signature.Sign(evil, other)
		if err = errors.Join(err, os.WriteFile(filepath.Join(stick, ProgramSignature), sig, 0o600)); err != nil {
			t.Fatal(err)
		}
		if ran, out := install(t, stick, mine, "yes\n"); ran {
			t.Errorf("%s: another program that another key signed:\n%s", kind, out)
		}
		// The key signs inventories, too. A shell takes one for a script.
		inventory := []byte("{\n \"format\": \"$(echo mount --root /slots)\"\n}\n")
		replace(t, stick, inventory)
		sig, err = signature.Sign(inventory, key)
		if err = errors.Join(err, os.WriteFile(filepath.Join(stick, ProgramSignature), sig, 0o600)); err != nil {
			t.Fatal(err)
		}
		if ran, out := install(t, stick, mine, "yes\n"); ran || !strings.Contains(out, "is not a program") {
			t.Errorf("%s: the inventory of a bundle:\n%s", kind, out)
		}
		replace(t, stick, evil)
		if err := os.Remove(filepath.Join(stick, ProgramSignature)); err != nil {
			t.Fatal(err)
		}
		if ran, out := install(t, stick, mine, "yes\n"); ran || !strings.Contains(out, "no nodeseal.sig") {
			t.Errorf("%s: without a signature:\n%s", kind, out)
		}
		if ran, _ := install(t, stick, filepath.Join(t.TempDir(), "none"), "no\n"); ran {
			t.Error("a node without a key, and a person who does not know the sum")
		}
		if err := errors.Join(os.Remove(filepath.Join(stick, Program)), os.Symlink("/dev/zero", filepath.Join(stick, Program))); err != nil {
			t.Fatal(err)
		}
		if ran, out := install(t, stick, mine, "yes\n"); ran || !strings.Contains(out, "not a regular file") {
			t.Errorf("%s: a link:\n%s", kind, out)
		}
	}
}

// TestFillChecksSignatures: what no node would take is not put on a stick.
func TestFillChecksSignatures(t *testing.T) {
	t.Parallel()
	key, other := newKey(t, "ECDSA"), newKey(t, "ECDSA")
	opts := signed(t, key)
	opts.SignKey = other
	if _, err := Fill(t.Context(), t.TempDir(), opts); !errors.Is(err, signature.ErrMismatch) {
		t.Errorf("a bundle of another key: %v", err)
	}
	opts.Keys = signature.Keys{key.Public()}
	if _, err := Fill(t.Context(), t.TempDir(), opts); !errors.Is(err, signature.ErrMismatch) {
		t.Errorf("a program of another key than the nodes have: %v", err)
	}
	opts.Keys = signature.Keys{key.Public(), other.Public()}
	stick := t.TempDir()
	if res := fill(t, stick, opts); len(res.Keys) != 2 {
		t.Errorf("two keys: %+v", res)
	}
	// A signature that was made elsewhere, as by cosign, lies beside the program.
	program, err := os.ReadFile(opts.Program)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signature.Sign(program, key)
	if err = errors.Join(err, os.WriteFile(opts.Program+signature.Suffix, sig, 0o600)); err != nil {
		t.Fatal(err)
	}
	opts.SignKey = nil
	if res := fill(t, stick, opts); !res.ProgramSigned {
		t.Errorf("a signature beside the program: %+v", res)
	}
	if err := os.Remove(opts.Program + signature.Suffix); err != nil {
		t.Fatal(err)
	}
	if res := fill(t, stick, opts); res.ProgramSigned {
		t.Errorf("no signature: %+v", res)
	}
	if _, err := os.Stat(filepath.Join(stick, ProgramSignature)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an earlier program's signature: %v", err)
	}
	if err := os.Remove(opts.Bundle + signature.Suffix); err != nil {
		t.Fatal(err)
	}
	if _, err := Fill(t.Context(), t.TempDir(), opts); !errors.Is(err, ErrUnsigned) {
		t.Errorf("a bundle that is not signed: %v", err)
	}
}

// TestPages: both pages have the same commands, and what a person compares.
func TestPages(t *testing.T) {
	t.Parallel()
	key := newKey(t, "ECDSA")
	for name, opts := range map[string]Options{"signed": signed(t, key), "unsigned": options(t)} {
		if name == "unsigned" {
			if err := os.Remove(opts.Bundle + signature.Suffix); err != nil {
				t.Fatal(err)
			}
		}
		stick := t.TempDir()
		res := fill(t, stick, opts)
		html, err := os.ReadFile(filepath.Join(stick, PageFile))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(stick, TextFile))
		if err != nil {
			t.Fatal(err)
		}
		want := append([]string{res.ProgramSHA256}, res.Keys...)
		for _, s := range steps(res) {
			for _, c := range s.Commands {
				want = append(want, c)
				if !strings.Contains(string(text), "\n       "+c+"\n") {
					t.Errorf("%s: the text page does not have %q on a line", name, c)
				}
			}
		}
		for _, w := range want {
			if !strings.Contains(string(text), w) || !strings.Contains(string(html), w) {
				t.Errorf("%s: %q is not on both pages", name, w)
			}
		}
		if strings.Contains(string(text), "--key") != (name == "signed") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}
