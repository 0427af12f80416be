package signature_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

// Only keys of the two kinds come out, and what makes a signature of one is not found by chance.
func FuzzKeys(f *testing.F) {
	for range 2 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			f.Fatal(err)
		}
		private, public := pemPair(f, key)
		sig, err := signature.Sign([]byte("raw"), key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(public, sig)
		f.Add(private, []byte("AAAA"))
	}
	f.Add(memtest.Repeat(64<<10, "", "-----BEGIN PUBLIC KEY-----\n", ""), []byte{})
	f.Add(memtest.Repeat(64<<10, "-----BEGIN PUBLIC KEY-----\n", "A", "\n-----END PUBLIC KEY-----\n"), memtest.Repeat(64<<10, "", "A", ""))
	f.Fuzz(func(t *testing.T, file, sig []byte) {
		var keys signature.Keys
		var err error
		memtest.Hold(t, 64*int64(len(file)+len(sig))+4<<20, func() {
			_, _ = signature.ParsePrivateKey(file)
			if keys, err = signature.ParsePublicKeys(file); err != nil {
				return
			}
			if keys.Check([]byte("other bytes"), sig) == nil {
				t.Error("a signature of other bytes")
			}
		})
		if err != nil {
			if !errors.Is(err, signature.ErrKey) || len(keys) > 0 {
				t.Errorf("%d keys, %v", len(keys), err)
			}
			return
		}
		for _, key := range keys {
			switch key := key.(type) {
			case *ecdsa.PublicKey:
				if key.Curve != elliptic.P256() {
					t.Errorf("a key over %s", key.Curve.Params().Name)
				}
			case ed25519.PublicKey:
			default:
				t.Errorf("a key of the type %T", key)
			}
		}
	})
}
