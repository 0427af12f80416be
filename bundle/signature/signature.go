// Package signature signs bundles, and checks who signed one: the bytes of its
// inventory.json, as cosign's sign-blob and verify-blob do.
package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/nodeseal/nodeseal/bundle/split"
)

// Suffix ends the name of the signature beside a bundle.
const Suffix = ".sig"

var (
	// ErrMismatch is wrapped when a signature is not one of the keys' over the bytes.
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

// Sign signs raw: the bytes of inventory.json, which names every blob by digest, or
// those of another file.
// The signature has the form of cosign's sign-blob: base64, of an ASN.1 ECDSA
// signature over the sha256 of raw, or of an Ed25519 signature over raw. The key
// is one of ParsePrivateKey's.
func Sign(raw []byte, key crypto.Signer) ([]byte, error) {
	if key == nil {
		return nil, fmt.Errorf("%w: no key", ErrKey)
	}
	message, opts, err := toSign(raw, key.Public())
	if err != nil {
		return nil, err
	}
	sig, err := key.Sign(rand.Reader, message, opts)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
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

// Check holds sig, as Sign makes it, to raw and the keys: any of them may have made
// it. The error wraps ErrMismatch if none did, and ErrKey if there is no key, or one
// that ParsePublicKeys would refuse.
func (k Keys) Check(raw, sig []byte) error {
	if len(k) == 0 {
		return fmt.Errorf("%w: no key", ErrKey)
	}
	der, err := base64.StdEncoding.AppendDecode(nil, bytes.TrimSpace(sig))
	if err != nil {
		return fmt.Errorf("%w: not base64: %w", ErrMismatch, err)
	}
	for _, pub := range k {
		message, _, err := toSign(raw, pub)
		if err != nil {
			return err
		}
		switch key := pub.(type) {
		case *ecdsa.PublicKey:
			if ecdsa.VerifyASN1(key, message, der) {
				return nil
			}
		case ed25519.PublicKey:
			if ed25519.Verify(key, message, der) {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: made by another key, or over other bytes", ErrMismatch)
}
