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
type UnsignedError struct {
	Path, Signature string
	// Inventory says that it is the inventory.json of a bundle, which lies alone.
	Inventory bool
}

// Error implements error.
func (e *UnsignedError) Error() string {
	return fmt.Sprintf("%s: %v: there is no %s", e.Path, signature.ErrMismatch, e.Signature)
}

// Unwrap returns signature.ErrMismatch.
func (e *UnsignedError) Unwrap() error { return signature.ErrMismatch }

// ErrStdin reports an inventory on standard input that is to have a signature.
var ErrStdin = errors.New("an inventory on standard input has no signature: name the file, or --insecure-no-key")

// Mismatch says of which signature err is, and which file the keys are from; "" is none.
func Mismatch(sig string, err error, from string) error {
	if from == "" {
		return fmt.Errorf("%s: %w", sig, err)
	}
	return fmt.Errorf("%s: %w (checked by %s)", sig, err, from)
}

// Signed returns the check of the signed bytes of the file at path, a bundle or an image: the
// signature beside it must be that of one of the keys. It is for archive.WithTrust, and nil
// without keys. Its error wraps signature.ErrMismatch if there is no signature, or one
// of another key or content.
func Signed(path string, keys signature.Keys) func(raw []byte) error { return signed(path, keys, "") }

// signed is Signed with keys of a file, which errors name; "" is none.
func signed(path string, keys signature.Keys, from string) func(raw []byte) error {
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
			return Mismatch(name, err, from)
		}
		return nil
	}
}

// Open opens the bundle at path on this node, after its signature was looked at as b asks. It is how
// everything opens bundles that does not say why it needs no signature (TestBundlesAreTrusted). Errors
// are those of Keys, of archive.OpenFile, or wrap signature.ErrMismatch. The caller closes it.
func (b Bundle) Open(ctx context.Context, path string) (*archive.File, error) {
	keys, from, err := b.Keys(ctx, "")
	if err != nil {
		return nil, err
	}
	return archive.OpenFile(ctx, path, archive.WithTrust(signed(path, keys, from)))
}

// Check is Open's check for the inventory.json of a bundle that lies alone at path, with its
// signature beside it. The error wraps ErrStdin if it is to have one, and path is "-".
func (b Bundle) Check(ctx context.Context, path string, rawInventory []byte) error {
	keys, from, err := b.Keys(ctx, "")
	if err != nil || keys == nil {
		return err
	}
	if path == "-" {
		return ErrStdin
	}
	err = signed(path, keys, from)(rawInventory)
	var unsigned *UnsignedError
	if errors.As(err, &unsigned) {
		unsigned.Inventory = true
	}
	return err
}
