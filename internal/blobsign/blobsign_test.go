package blobsign

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

func pemOf(t *testing.T, pub any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestVerify(t *testing.T) {
	t.Parallel()
	message := []byte("inventory")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(message)
	ecSig, err := ecdsa.SignASN1(rand.Reader, ec, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	edPub, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]struct{ key, sig []byte }{
		"ecdsa":   {pemOf(t, &ec.PublicKey), ecSig},
		"ed25519": {pemOf(t, edPub), ed25519.Sign(ed, message)},
	}
	for name, k := range keys {
		key, err := ParseKey(k.key)
		if err != nil {
			t.Fatal(name, err)
		}
		text := []byte(base64.StdEncoding.EncodeToString(k.sig) + "\n")
		if err := key.Verify(message, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for what, bad := range map[string][2][]byte{
			"other bytes":  {[]byte("inventory "), text},
			"no signature": {message, nil},
			"not base64":   {message, []byte("!")},
			"cut":          {message, text[:len(text)/8*4]},
			"long":         {message, make([]byte, MaxSignature+1)},
		} {
			if err := key.Verify(bad[0], bad[1]); !errors.Is(err, ErrSignature) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
	key, err := ParseKey(keys["ed25519"].key)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Verify(message, []byte(base64.StdEncoding.EncodeToString(ecSig))); !errors.Is(err, ErrSignature) {
		t.Errorf("another key's signature: %v", err)
	}
}

func TestRefusedKeys(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(ed)
	if err != nil {
		t.Fatal(err)
	}
	good := pemOf(t, ed.Public())
	for name, key := range map[string][]byte{
		"empty": nil, "text": []byte("key"), "P-384": pemOf(t, &p384.PublicKey), "two": append(good, good...),
		"private": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		"garbage": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}),
	} {
		if _, err := ParseKey(key); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOpenSSL: what another program signs is taken.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	openssl := testenv.NeedTool(t, "openssl")
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), openssl, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if err := os.WriteFile(filepath.Join(dir, "message"), []byte("inventory"), 0o600); err != nil {
		t.Fatal(err)
	}
	run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key")
	run("ec", "-in", "key", "-pubout", "-out", "pub")
	run("dgst", "-sha256", "-sign", "key", "-out", "sig", "message")
	run("base64", "-A", "-in", "sig", "-out", "text")
	key, err := ParseKey(read("pub"))
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Verify([]byte("inventory"), read("text")); err != nil {
		t.Error(err)
	}
}
