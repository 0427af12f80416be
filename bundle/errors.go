package bundle

import (
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
)

var (
	// ErrDamaged is wrapped when a bundle's bytes are not what they must be.
	ErrDamaged = errors.New("bundle is damaged")
	// ErrNoBlob is wrapped when a blob is asked for that the bundle does not hold.
	ErrNoBlob = errors.New("bundle does not hold the blob")
)

// DamageError places damage in a bundle. It wraps ErrDamaged.
type DamageError struct {
	// Member is the name of the tar member that is hurt.
	Member string
	// Blob is its digest, where the member is a blob.
	Blob digest.Digest
	// Err is what was found.
	Err error
}

// Error implements error.
func (e *DamageError) Error() string {
	if e.Blob != "" {
		return fmt.Sprintf("blob %s: %v", e.Blob, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Member, e.Err)
}

// Unwrap returns ErrDamaged and the cause.
func (e *DamageError) Unwrap() []error { return []error{ErrDamaged, e.Err} }
