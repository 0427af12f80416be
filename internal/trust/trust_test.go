package trust_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/trust"
)

func TestFile(t *testing.T) {
	t.Parallel()
	var f trust.File
	for _, empty := range []string{"", " ", "\n"} {
		if err := f.Set(empty); !errors.Is(err, trust.ErrEmpty) {
			t.Errorf("%q: %v", empty, err)
		}
	}
	if err := f.Set("bundle.pub"); err != nil || f.String() != "bundle.pub" {
		t.Errorf("%q, %v", f, err)
	}
}

func publicKeys(t *testing.T, path string) (signature.Keys, error) {
	t.Helper()
	keys, _, err := trust.Bundle{Key: trust.File(path)}.Keys(t.Context(), "")
	return keys, err
}

// What a *signature.KeyError advises names the file, in a form that a shell takes.
func TestFixNamesTheFile(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"plain.pem": "-in PATH -pubout", "it's; rm.pem": `-in 'PATH' -pubout`} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := publicKeys(t, path)
		var bad *signature.KeyError
		if !errors.As(err, &bad) || !errors.Is(err, signature.ErrKey) || !strings.Contains(err.Error(), path) {
			t.Fatalf("%s: %v", name, err)
		}
		want = strings.ReplaceAll(want, "PATH", strings.ReplaceAll(path, "'", `'\''`))
		if !strings.Contains(bad.Fix, want) {
			t.Errorf("%s: %q, want %q in it", name, bad.Fix, want)
		}
		if _, err := trust.PrivateKey(t.Context(), path); err != nil {
			t.Errorf("%s: to sign with: %v", name, err)
		}
	}
	if _, err := publicKeys(t, filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := publicKeys(t, "/dev/zero"); !errors.Is(err, signature.ErrKey) {
		t.Errorf("a file without an end: %v", err)
	}
}
