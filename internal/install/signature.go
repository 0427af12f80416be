package install

import (
	"errors"
	"fmt"
	"io/fs"

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

// Trust returns the check of the signed bytes of the file at path, a bundle or an image: the
// signature beside it must be that of one of the keys. It is for archive.WithTrust, and nil
// without keys. Its error wraps signature.ErrMismatch if there is no signature, or one
// of another key or content.
func Trust(path string, keys signature.Keys) func(raw []byte) error {
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
