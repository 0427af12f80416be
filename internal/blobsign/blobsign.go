// Package blobsign verifies signatures in the form of cosign's sign-blob and
// verify-blob: base64 of what an ECDSA key signs over the SHA-256 of the bytes
// (ASN.1), or an Ed25519 key over the bytes.
package blobsign

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
)

// MaxSignature bounds a signature in its text form, in bytes.
const MaxSignature = 4 << 10

var (
	// ErrSignature reports bytes that the key did not sign.
	ErrSignature = errors.New("not signed by the key")
	// ErrKey reports a key that is none, or of a kind that is not used here.
	ErrKey = errors.New("not a public key (PEM, ECDSA P-256 or Ed25519)")
)

// Key is a public key.
type Key struct {
	verify func(message, sig []byte) bool
}

// ParseKey reads one PEM block PUBLIC KEY and nothing else. Errors wrap ErrKey:
// a private key is refused too.
func ParseKey(data []byte) (*Key, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: want one PEM block PUBLIC KEY", ErrKey)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	switch key := parsed.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return nil, fmt.Errorf("%w: ECDSA %s", ErrKey, key.Curve.Params().Name)
		}
		return &Key{func(message, sig []byte) bool {
			sum := sha256.Sum256(message)
			return ecdsa.VerifyASN1(key, sum[:], sig)
		}}, nil
	case ed25519.PublicKey:
		return &Key{func(message, sig []byte) bool { return ed25519.Verify(key, message, sig) }}, nil
	default:
		return nil, fmt.Errorf("%w: %T", ErrKey, key)
	}
}

// Verify checks a signature in its text form. Errors wrap ErrSignature.
func (k *Key) Verify(message, signature []byte) error {
	if len(signature) > MaxSignature {
		return fmt.Errorf("%w: signature of more than %d bytes", ErrSignature, MaxSignature)
	}
	sig, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(signature)))
	if err != nil {
		return fmt.Errorf("%w: signature: %w", ErrSignature, err)
	}
	if !k.verify(message, sig) {
		return ErrSignature
	}
	return nil
}
