// Package signature signs bundles, and checks who signed one: the bytes of its
// inventory.json, as cosign's sign-blob and verify-blob do.
package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/nodeseal/nodeseal/bundle/split"
)

// Suffix ends the name of the signature beside a bundle.
const Suffix = ".sig"

var (
	// ErrMismatch is wrapped when a signature is not the key's over the inventory.
	ErrMismatch = errors.New("signature does not match")
	// ErrKey is wrapped when a key cannot be used for signatures of bundles.
	ErrKey = errors.New("key cannot be used")
)

// Path is where the signature of the bundle at path is. The path may
// be a part's.
func Path(path string) (string, error) {
	_, base, err := split.Find(path)
	return base + Suffix, err
}

// Sign signs raw, the bytes of inventory.json, which names every blob by digest.
// The signature has the form of cosign's sign-blob: base64, of an ASN.1 ECDSA
// signature over the sha256 of raw, or of an Ed25519 signature over raw. The key
// is one of ParsePrivateKey's.
func Sign(raw []byte, key crypto.Signer) ([]byte, error) {
	message, opts, err := toSign(raw, key.Public())
	if err != nil {
		return nil, err
	}
	sig, err := key.Sign(rand.Reader, message, opts)
	if err != nil {
		return nil, fmt.Errorf("signing inventory: %w", err)
	}
	return base64.StdEncoding.AppendEncode(nil, sig), nil
}

func toSign(raw []byte, pub crypto.PublicKey) ([]byte, crypto.SignerOpts, error) {
	if err := checkKey(pub); err != nil {
		return nil, nil, err
	}
	if _, ok := pub.(ed25519.PublicKey); ok {
		return raw, crypto.Hash(0), nil
	}
	sum := sha256.Sum256(raw)
	return sum[:], crypto.SHA256, nil
}

// Check holds sig, as Sign makes it, to raw and the public key, one of
// ParsePublicKey's. The error wraps ErrMismatch where it is another's.
func Check(raw, sig []byte, pub crypto.PublicKey) error {
	der, err := base64.StdEncoding.AppendDecode(nil, sig)
	if err != nil {
		return fmt.Errorf("%w: it is not base64: %w", ErrMismatch, err)
	}
	message, _, err := toSign(raw, pub)
	if err != nil {
		return err
	}
	ok := false
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(key, message, der)
	case ed25519.PublicKey:
		ok = ed25519.Verify(key, message, der)
	}
	if !ok {
		return fmt.Errorf("%w: another key made it, or of another inventory", ErrMismatch)
	}
	return nil
}

// checkKey allows ECDSA over P-256 and Ed25519. The error wraps ErrKey.
func checkKey(pub crypto.PublicKey) error {
	switch key := pub.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return nil
		}
		return fmt.Errorf("%w: ECDSA over %s, want P-256", ErrKey, key.Curve.Params().Name)
	}
	return fmt.Errorf("%w: %T, want ECDSA P-256 or Ed25519", ErrKey, pub)
}

// ParsePrivateKey reads a private key from PEM: PKCS #8, or SEC 1 for ECDSA. The
// error wraps ErrKey where it is not one that bundles are signed with.
func ParsePrivateKey(data []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "EC PARAMETERS":
			continue // openssl writes them before the key
		default:
			return nil, fmt.Errorf("%w: PEM block %q, want an unencrypted PRIVATE KEY", ErrKey, block.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("%w: %T does not sign", ErrKey, key)
		}
		return signer, checkKey(signer.Public())
	}
	return nil, fmt.Errorf("%w: no PEM block", ErrKey)
}

// ParsePublicKey reads a public key from PEM (PUBLIC KEY). The error wraps ErrKey
// where it is not one that signatures of bundles are checked with.
func ParsePublicKey(data []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("%w: no PEM block PUBLIC KEY", ErrKey)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return key, checkKey(key)
}
