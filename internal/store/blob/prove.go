package blob

import (
	"errors"
	"fmt"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/nodeseal/nodeseal/layout"
)

// Prove compares what a layer turned out to be with what configuration and
// inventory say of it. The error is ErrClaim.
func Prove(l *store.Layer, result *extract.Result) error {
	if result.DiffID != l.DiffID {
		return fmt.Errorf("%w: its plain tar has the digest %s", ErrClaim, result.DiffID)
	}
	if l.DiffSize != 0 && result.DiffSize != l.DiffSize {
		return fmt.Errorf("%w: its plain tar has %d bytes, the inventory says %d", ErrClaim, result.DiffSize, l.DiffSize)
	}
	return nil
}

// Kind says whose fault an error about a layer is: store.ErrDamaged, or nil.
func Kind(err error) error {
	var refused *extract.RefusedError
	var rule *layerrules.Error
	if errors.As(err, &refused) || errors.As(err, &rule) || errors.Is(err, bundle.ErrDamaged) || errors.Is(err, bundle.ErrNoBlob) ||
		errors.Is(err, layout.ErrDigest) || errors.Is(err, layout.ErrSize) || errors.Is(err, ErrClaim) || errors.Is(err, ErrCompression) {
		return store.ErrDamaged
	}
	return nil
}
