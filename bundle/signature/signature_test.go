package signature_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pemPair returns a key as PKCS #8 and PKIX in PEM.
func pemPair(t testing.TB, key crypto.Signer) (private, public []byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	private = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	der, err = x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	return private, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestSignature(t *testing.T) {
	t.Parallel()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	raw := []byte("{\"format\": \"of a test\"}\n")
	for name, key := range map[string]crypto.Signer{"ECDSA": p256, "Ed25519": ed} {
		private, public := pemPair(t, key)
		signer, err := signature.ParsePrivateKey(private)
		must(t, err)
		keys, err := signature.ParsePublicKeys(public)
		must(t, err)
		sig, err := signature.Sign(raw, signer)
		must(t, err)
		if err := keys.Check(raw, append(sig, '\n')); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := keys.Check(append(raw, 'x'), sig); !errors.Is(err, signature.ErrMismatch) {
			t.Errorf("%s, other bytes: %v", name, err)
		}
		if err := (signature.Keys{other.Public()}).Check(raw, sig); !errors.Is(err, signature.ErrMismatch) {
			t.Errorf("%s, another key: %v", name, err)
		}
		if err := keys.Check(raw, []byte("%")); !errors.Is(err, signature.ErrMismatch) {
			t.Errorf("%s, no signature: %v", name, err)
		}
	}
}

func TestKeysRefused(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	for name, key := range map[string]crypto.Signer{"P-384": p384, "RSA": rsaKey} {
		private, public := pemPair(t, key)
		if _, err := signature.ParsePrivateKey(private); !errors.Is(err, signature.ErrKey) {
			t.Errorf("private %s: %v", name, err)
		}
		if _, err := signature.ParsePublicKeys(public); !errors.Is(err, signature.ErrKey) {
			t.Errorf("public %s: %v", name, err)
		}
	}
	for _, data := range []string{"", "x", "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"} {
		if _, err := signature.ParsePrivateKey([]byte(data)); !errors.Is(err, signature.ErrKey) {
			t.Errorf("private %q: %v", data, err)
		}
		if _, err := signature.ParsePublicKeys([]byte(data)); !errors.Is(err, signature.ErrKey) {
			t.Errorf("public %q: %v", data, err)
		}
	}
}

// What cosign's verify-blob does with an ECDSA key, openssl does too: ours is a
// signature to it, and its own is one to us.
func TestSignatureOpenSSL(t *testing.T) {
	t.Parallel()
	openssl := testenv.NeedTool(t, "openssl")
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(openssl, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %q: %v: %s", args, err, out)
		}
	}
	file := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		return data
	}
	raw := []byte("inventory\n")
	must(t, os.WriteFile(filepath.Join(dir, "raw"), raw, 0o600))
	run("ecparam", "-name", "prime256v1", "-genkey", "-out", "key.pem")
	run("ec", "-in", "key.pem", "-pubout", "-out", "pub.pem")
	key, err := signature.ParsePrivateKey(file("key.pem"))
	must(t, err)
	sig, err := signature.Sign(raw, key)
	must(t, err)
	der, err := base64.StdEncoding.DecodeString(string(sig))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "ours"), der, 0o600))
	run("dgst", "-sha256", "-verify", "pub.pem", "-signature", "ours", "raw")
	run("dgst", "-sha256", "-sign", "key.pem", "-out", "theirs", "raw")
	keys, err := signature.ParsePublicKeys(file("pub.pem"))
	must(t, err)
	must(t, keys.Check(raw, base64.StdEncoding.AppendEncode(nil, file("theirs"))))
	run("pkey", "-pubin", "-in", "pub.pem", "-outform", "DER", "-out", "pub.der")
	run("dgst", "-sha256", "-out", "sum", "-r", "pub.der")
	prints, err := keys.Fingerprints()
	must(t, err)
	if want, _, _ := strings.Cut(string(file("sum")), " "); len(prints) != 1 || prints[0] != want {
		t.Errorf("fingerprints %v, openssl prints %s", prints, want)
	}
}
