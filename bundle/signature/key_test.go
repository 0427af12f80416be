package signature_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// While a key is exchanged for another, a file has both, and either may have signed.
func TestRotation(t *testing.T) {
	t.Parallel()
	var file []byte
	var signers []*ecdsa.PrivateKey
	for range 3 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		signers = append(signers, key)
	}
	for _, key := range signers[:2] {
		_, public := pemPair(t, key)
		file = append(file, public...)
	}
	keys, err := signature.ParsePublicKeys(file)
	must(t, err)
	for i, key := range signers {
		sig, err := signature.Sign([]byte("raw"), key)
		must(t, err)
		if err := keys.Check([]byte("raw"), sig); (err == nil) != (i < 2) {
			t.Errorf("key %d of a file with the first two: %v", i, err)
		}
	}
	private, _ := pemPair(t, signers[2])
	if _, err := signature.ParsePublicKeys(append(file, private...)); !errors.Is(err, signature.ErrKey) {
		t.Errorf("two public keys and a private one: %v", err)
	}
}

// TestKeyKinds makes key files of every kind with openssl: each is named, and the
// command that the error gives makes one that is taken.
func TestKeyKinds(t *testing.T) {
	t.Parallel()
	testenv.NeedTool(t, "openssl")
	dir := t.TempDir()
	shell := func(line string) {
		t.Helper()
		cmd := exec.Command("sh", "-ec", line)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	shell(`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out p256
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa
openssl genpkey -algorithm ed25519 -out ed
for k in p256 p384 rsa ed; do openssl pkey -in $k -pubout -out $k.pub; done
openssl rsa -in rsa -traditional -out rsa.old 2>/dev/null
openssl pkey -in p256 -aes256 -passout pass:secret -out encrypted
openssl ec -in p256 -aes256 -passout pass:secret -out encrypted.old 2>/dev/null
openssl req -x509 -key p256 -subj /CN=x -out cert 2>/dev/null
openssl req -x509 -key rsa -subj /CN=x -out rsa.cert 2>/dev/null
printf '%s\n' '-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----' AAAA '-----END ENCRYPTED SIGSTORE PRIVATE KEY-----' > cosign`)
	tests := []struct {
		file    string
		private bool // read as a private key
		want    string
		fixed   bool // the error's command makes one
	}{
		{"p256", true, "", false},
		{"ed", true, "", false},
		{"p256.pub", false, "", false},
		{"ed.pub", false, "", false},
		{"p384", true, "an ECDSA key over P-384", true},
		{"rsa", true, "an RSA key of 2048 bits", true},
		{"rsa.old", true, "an RSA key", true},
		{"encrypted", true, "an encrypted private key", true},
		{"encrypted.old", true, "an encrypted private key", true},
		{"cert", true, "a certificate", true},
		{"cosign", true, "an encrypted private key of cosign", true},
		{"p256.pub", true, "a public key", false},
		{"/dev/null", true, "no PEM block", true},
		{"p384.pub", false, "an ECDSA key over P-384", true},
		{"rsa.pub", false, "an RSA key of 2048 bits", true},
		{"p256", false, "a private key", true},
		{"rsa", false, "an RSA key of 2048 bits", true},
		{"p384", false, "an ECDSA key over P-384", true},
		{"encrypted", false, "an encrypted private key", true},
		{"cert", false, "a certificate", true},
		{"rsa.cert", false, "a certificate", true},
		{"/dev/null", false, "no PEM block", true},
	}
	for _, tt := range tests {
		path := tt.file
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		parse := func(path string) error {
			data, err := os.ReadFile(path)
			must(t, err)
			if tt.private {
				_, err = signature.ParsePrivateKey(data)
			} else {
				_, err = signature.ParsePublicKeys(data)
			}
			return err
		}
		err := parse(path)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s, private %t: %v", tt.file, tt.private, err)
			}
			continue
		}
		var bad *signature.KeyError
		if !errors.As(err, &bad) || !errors.Is(err, signature.ErrKey) || bad.Found != tt.want {
			t.Errorf("%s, private %t: %v, want %q", tt.file, tt.private, err, tt.want)
			continue
		}
		if (bad.Fix != "") != tt.fixed {
			t.Errorf("%s, private %t: the command %q", tt.file, tt.private, bad.Fix)
		}
		if bad.Fix == "" {
			continue
		}
		shell("rm -f bundle.key bundle.pub")
		fix := strings.ReplaceAll(bad.Fix, "FILE", path)
		if strings.HasPrefix(tt.file, "encrypted") {
			fix = strings.ReplaceAll(fix, "openssl pkey", "openssl pkey -passin pass:secret") // openssl would ask
		}
		shell(fix)
		made := "bundle.pub"
		if tt.private {
			made = "bundle.key"
		}
		if err := parse(filepath.Join(dir, made)); err != nil {
			t.Errorf("%s, private %t: what %q makes: %v", tt.file, tt.private, bad.Fix, err)
		}
	}
}
