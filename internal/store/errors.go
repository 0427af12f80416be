package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

var (
	// ErrDamaged is wrapped where content is not what its digest, its sizes or
	// the rules for it say: the bundle is damaged, or lies.
	ErrDamaged = errors.New("content is damaged or not allowed")
	// ErrPrecondition is wrapped where the machine lacks something that the
	// work needs: rights, space, abilities of the file system or the kernel.
	ErrPrecondition = errors.New("precondition is not met")
	// ErrExists is wrapped where the store's final name is taken.
	ErrExists = errors.New("store exists already")
)

// Explain gives an error that the end of ctx or a full disk caused its true name: it
// wraps the error of ctx, or ErrPrecondition.
func Explain(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	if !errors.Is(err, ErrPrecondition) && (errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)) {
		return fmt.Errorf("%w: %w", ErrPrecondition, err)
	}
	return err
}

// Error places a failure: which image, which content. It wraps Err, and Kind
// where that is set.
type Error struct {
	// Kind is ErrDamaged or ErrPrecondition, or nil for any other failure.
	Kind error
	// Op is what was being done: "reading manifest", "extracting layer".
	Op string
	// Image is a reference that needs the content, where there is one.
	Image string
	// Digest names the content, where it has a digest.
	Digest digest.Digest
	// Err is what was found.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Digest != "" {
		fmt.Fprintf(&b, " %s", e.Digest)
	}
	if e.Image != "" {
		fmt.Fprintf(&b, " of %s", e.Image)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Err}
	}
	return []error{e.Kind, e.Err}
}

// NameConflictError reports one name on two images: readers could not open the
// store. It wraps ErrDamaged.
type NameConflictError struct {
	Name string
	// Images are the IDs of the two.
	Images [2]string
}

// Error implements error.
func (e *NameConflictError) Error() string {
	return fmt.Sprintf("the name %s is on two images, %.12s and %.12s", e.Name, e.Images[0], e.Images[1])
}

// Unwrap returns ErrDamaged.
func (e *NameConflictError) Unwrap() error { return ErrDamaged }
