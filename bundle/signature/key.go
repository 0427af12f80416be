package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// The PEM types that key files have.
const (
	pemPublic     = "PUBLIC KEY"
	pemPrivate    = "PRIVATE KEY"
	pemECPrivate  = "EC PRIVATE KEY"
	pemECParams   = "EC PARAMETERS" // openssl writes them before the key
	pemRSAPrivate = "RSA PRIVATE KEY"
	pemRSAPublic  = "RSA PUBLIC KEY"
	pemCert       = "CERTIFICATE"
	pemEncrypted  = "ENCRYPTED PRIVATE KEY"
	pemCosign     = "ENCRYPTED COSIGN PRIVATE KEY"
	pemSigstore   = "ENCRYPTED SIGSTORE PRIVATE KEY"
	pemOpenSSH    = "OPENSSH PRIVATE KEY"
	pemPGP        = "PGP PUBLIC KEY BLOCK"
)

// The commands that make a right key file. FILE stands for the one that was refused.
const (
	makePrivate = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out bundle.key"
	makePublic  = "openssl pkey -in FILE -pubout -out bundle.pub"
	makePair    = makePrivate + " && openssl pkey -in bundle.key -pubout -out bundle.pub"
	decrypt     = "openssl pkey -in FILE -out bundle.key"
	fromCert    = "openssl x509 -in FILE -noout -pubkey > bundle.pub"
)

// KeyError says what a file has that is no key for signatures of bundles. It wraps
// ErrKey.
type KeyError struct {
	// Found is what the file has.
	Found string
	// Want is what it must have.
	Want string
	// Fix is a command for a shell that makes a right file, "" if there is none;
	// FILE in it stands for the refused file.
	Fix string
}

// Error implements error.
func (e *KeyError) Error() string {
	return fmt.Sprintf("%v: found %s, want %s", ErrKey, e.Found, e.Want)
}

// Unwrap returns ErrKey.
func (e *KeyError) Unwrap() error { return ErrKey }

const (
	wantPublic  = "a public key of ECDSA P-256 or Ed25519 in PEM"
	wantPrivate = "an unencrypted private key of ECDSA P-256 or Ed25519 in PEM"
)

// checkKey allows ECDSA over P-256 and Ed25519. The error wraps ErrKey.
func checkKey(pub crypto.PublicKey) error {
	switch key := pub.(type) {
	case ed25519.PublicKey:
		if len(key) == ed25519.PublicKeySize {
			return nil
		}
	case *ecdsa.PublicKey:
		if key != nil && key.Curve == elliptic.P256() {
			return nil
		}
	}
	return &KeyError{Found: keyName(pub), Want: "ECDSA P-256 or Ed25519", Fix: makePair}
}

// keyName names a key of any kind.
func keyName(pub any) string {
	switch key := pub.(type) {
	case nil:
		return "no key"
	case *rsa.PublicKey:
		return fmt.Sprintf("an RSA key of %d bits", key.Size()*8)
	case *ecdsa.PublicKey:
		if key != nil && key.Curve != nil {
			return "an ECDSA key over " + key.Curve.Params().Name
		}
	case ed25519.PublicKey:
		return fmt.Sprintf("an Ed25519 key of %d bytes", len(key))
	}
	return fmt.Sprintf("a key of another kind (%T)", pub)
}

// blockName names a PEM block that is not the one that is wanted.
func blockName(typ string) string {
	switch typ {
	case pemPublic:
		return "a public key"
	case pemPrivate, pemECPrivate:
		return "a private key"
	case pemRSAPrivate, pemRSAPublic:
		return "an RSA key"
	case pemCert:
		return "a certificate"
	case pemEncrypted:
		return "an encrypted private key"
	case pemCosign, pemSigstore:
		return "an encrypted private key of cosign"
	case pemOpenSSH:
		return "a private key of OpenSSH"
	case pemPGP:
		return "an OpenPGP key"
	}
	return fmt.Sprintf("a PEM block %q", typ)
}

// ParsePrivateKey reads a private key from PEM: PKCS #8, or SEC 1 for ECDSA. If it
// is not one that bundles are signed with, the error wraps ErrKey, and is a *KeyError
// if the file has something else that this package knows.
func ParsePrivateKey(data []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case pemPrivate:
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case pemECPrivate:
			if block.Headers["DEK-Info"] != "" {
				return nil, &KeyError{Found: blockName(pemEncrypted), Want: wantPrivate, Fix: decrypt}
			}
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case pemECParams:
			continue
		case pemEncrypted:
			return nil, &KeyError{Found: blockName(block.Type), Want: wantPrivate, Fix: decrypt}
		case pemPublic:
			return nil, &KeyError{Found: blockName(block.Type), Want: "the private key that belongs to it"}
		default:
			return nil, &KeyError{Found: blockName(block.Type), Want: wantPrivate, Fix: makePair}
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, &KeyError{Found: keyName(key), Want: wantPrivate, Fix: makePair}
		}
		if err := checkKey(signer.Public()); err != nil {
			return nil, err
		}
		return signer, nil
	}
	return nil, &KeyError{Found: "no PEM block", Want: wantPrivate, Fix: makePair}
}

// Keys are public keys, any of which may have signed: while a key is exchanged for
// another, a file has both.
type Keys []crypto.PublicKey

// ParsePublicKeys reads all public keys of a PEM file, at least one. If one is not a
// key that signatures of bundles are checked with, or if the file has anything else,
// as a private key, the error wraps ErrKey, and is a *KeyError if this package knows
// what it has.
func ParsePublicKeys(data []byte) (Keys, error) {
	var keys Keys
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case pemPublic:
		case pemPrivate, pemECPrivate, pemECParams, pemEncrypted:
			return nil, privateForPublic(block.Type, data)
		case pemCert:
			return nil, &KeyError{Found: blockName(block.Type), Want: wantPublic, Fix: certFix(block.Bytes)}
		case pemCosign, pemSigstore:
			return nil, &KeyError{Found: blockName(block.Type), Want: wantPublic, Fix: "cosign public-key --key FILE > bundle.pub"}
		default:
			return nil, &KeyError{Found: blockName(block.Type), Want: wantPublic, Fix: makePair}
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		if err := checkKey(key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, &KeyError{Found: "no PEM block", Want: wantPublic, Fix: makePair}
	}
	return keys, nil
}

// privateForPublic is the error for a private key where a public one is wanted: its public
// key is the right one only if the key is of a kind that signs bundles.
func privateForPublic(typ string, data []byte) error {
	out := &KeyError{Found: blockName(typ), Want: wantPublic, Fix: makePublic}
	var bad *KeyError
	if _, err := ParsePrivateKey(data); typ != pemEncrypted && errors.As(err, &bad) && bad.Fix == makePair {
		out.Found, out.Fix = bad.Found, bad.Fix
	}
	return out
}

// certFix is the command that takes the key out of a certificate, or that makes
// another pair if its key is of another kind.
func certFix(der []byte) string {
	cert, err := x509.ParseCertificate(der)
	if err != nil || checkKey(cert.PublicKey) != nil {
		return makePair
	}
	return fromCert
}

// Fingerprint returns the sha256 of the key's DER form (SubjectPublicKeyInfo) in hex,
// as "openssl pkey -pubin -in FILE -outform DER | sha256sum" prints it.
func Fingerprint(pub crypto.PublicKey) (string, error) {
	if err := checkKey(pub); err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// Fingerprints returns the fingerprints of all keys, in their order. The keys must be
// those of ParsePublicKeys.
func (k Keys) Fingerprints() ([]string, error) {
	out := make([]string, len(k))
	var errs []error
	for i, key := range k {
		var err error
		out[i], err = Fingerprint(key)
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}
