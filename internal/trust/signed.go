package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

// maxSignature bounds the signature beside a bundle, in bytes.
const maxSignature = 64 << 10

// UnsignedError reports that a bundle or an image has no signature beside it. It wraps
// signature.ErrMismatch.
type UnsignedError struct{ Path, Signature string }

// Error implements error.
func (e *UnsignedError) Error() string {
	return fmt.Sprintf("%s: %v: there is no %s", e.Path, signature.ErrMismatch, e.Signature)
}

// Unwrap returns signature.ErrMismatch.
func (e *UnsignedError) Unwrap() error { return signature.ErrMismatch }

// Signed returns the check of the signed bytes of the file at path, a bundle or an image: the
// signature beside it must be that of one of the keys. It is for archive.WithTrust, and nil
// without keys. Its error wraps signature.ErrMismatch if there is no signature, or one
// of another key or content.
func Signed(path string, keys signature.Keys) func(raw []byte) error {
	if keys == nil {
		return nil
	}
	return func(raw []byte) error {
		name, err := signature.Path(path)
		if err != nil {
			return err
		}
		sig, err := safefile.ReadFile(name, maxSignature)
		if errors.Is(err, fs.ErrNotExist) {
			return &UnsignedError{Path: path, Signature: name}
		}
		if err != nil {
			return fmt.Errorf("signature: %w", err)
		}
		if err := keys.Check(raw, sig); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
}

// Open opens the bundle at path on this node, after its signature was looked at as b asks. It is how
// everything opens bundles that does not say why it needs no signature (TestBundlesAreTrusted). Errors
// are those of Keys, of archive.OpenFile, or wrap signature.ErrMismatch. The caller closes it.
func (b Bundle) Open(ctx context.Context, path string) (*archive.File, error) {
	keys, _, err := b.Keys(ctx, "")
	if err != nil {
		return nil, err
	}
	return archive.OpenFile(ctx, path, archive.WithTrust(Signed(path, keys)))
}

// Check is Open's check for the inventory.json of a bundle that lies alone at path, with its
// signature beside it.
func (b Bundle) Check(ctx context.Context, path string, rawInventory []byte) error {
	keys, _, err := b.Keys(ctx, "")
	if err != nil || keys == nil {
		return err
	}
	return Signed(path, keys)(rawInventory)
}
