package install

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/extract"
)

var (
	// ErrNotRoot is wrapped when the user may not make a store.
	ErrNotRoot = errors.New("it needs root")
	// errNothing is wrapped when every image was left out.
	errNothing = fmt.Errorf("%w: no image is left of it", store.ErrPrecondition)
	// ErrLacks is wrapped when a bundle lacks images that are wanted.
	ErrLacks = errors.New("not in the bundle")
	// ErrDevice is wrapped when a layer has a device node that is not wanted.
	ErrDevice = extract.ErrDevice
)

// RefusedByRules reports whether err is about a layer with a member that no node takes.
func RefusedByRules(err error) bool {
	var entry *extract.RefusedError
	return errors.As(err, &entry) && slices.ContainsFunc(layerrules.Reasons(), func(reason error) bool { return errors.Is(entry.Err, reason) })
}

// NeedRoot refuses ordinary users before any work begins. Root of a user
// namespace is enough. The error wraps ErrNotRoot and store.ErrPrecondition.
func NeedRoot() error {
	if uid := os.Geteuid(); uid != 0 {
		return precondition{fmt.Errorf("importing as user %d: %w", uid, ErrNotRoot)}
	}
	return nil
}

// precondition is an error that something on this machine has to change for.
type precondition struct{ error }

// Unwrap returns store.ErrPrecondition and the cause.
func (p precondition) Unwrap() []error { return []error{store.ErrPrecondition, p.error} }
