package base

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
)

var (
	// ErrNone is wrapped where nobody has any of the layers that a base must have:
	// the base is not at hand.
	ErrNone = errors.New("the base is not at hand")
	// ErrIncomplete is wrapped where some of them are missing.
	ErrIncomplete = errors.New("the base is not whole")
)

// Layer is a layer that nobody has.
type Layer struct {
	Digest digest.Digest // its diff ID
	Image  string        // a reference that needs it
}

// MissingError names the layers that nobody has. It wraps ErrNone where these are
// all that are needed, else ErrIncomplete.
type MissingError struct {
	Base *bundle.Base
	// Needed is how many layers the base must have, Layers are those that are
	// missing, Looked where they were looked for.
	Needed int
	Layers []Layer
	Looked []string

	olds map[digest.Digest]bool // the older layers that deltas take
}

// older counts the layers that the delta of w takes instead of w itself. lacks are those of them
// that are missing.
func (e *MissingError) older(w wanted, from, lacks []digest.Digest) {
	e.Needed--
	for _, d := range from {
		if e.olds[d] {
			continue
		}
		if e.olds == nil {
			e.olds = make(map[digest.Digest]bool)
		}
		e.olds[d] = true
		e.Needed++
		if slices.Contains(lacks, d) {
			e.Layers = append(e.Layers, Layer{Digest: d, Image: w.image})
		}
	}
}

// few is how many layers an error names.
const few = 20

// Error implements error.
func (e *MissingError) Error() string {
	looked := "there is nowhere to look for them"
	if len(e.Looked) > 0 {
		looked = "not in " + strings.Join(e.Looked, ", ")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v: of the %d layers that %s has to have, %d are missing (%s):", e.kind(), e.Needed, e.Base.Name(), len(e.Layers), looked)
	for i, l := range e.Layers {
		if i == few {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Layers)-few)
			break
		}
		fmt.Fprintf(&b, "\n  %s of %s", l.Digest, l.Image)
	}
	return b.String()
}

func (e *MissingError) kind() error {
	if len(e.Layers) == e.Needed {
		return ErrNone
	}
	return ErrIncomplete
}

// Unwrap returns ErrNone or ErrIncomplete.
func (e *MissingError) Unwrap() error { return e.kind() }

// DamagedError says that a layer of a base is not what it must be. It wraps
// store.ErrDamaged.
type DamagedError struct {
	Path  string        // of the base, "" where the delta in the bundle is at fault
	Layer digest.Digest // its diff ID
	// Err is what was found; it names the layer where an import found it.
	Err error
}

// Error implements error.
func (e *DamagedError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("the bundle is damaged: %v", e.Err)
	}
	return fmt.Sprintf("the base %s is damaged: %v", e.Path, e.Err)
}

// Unwrap returns store.ErrDamaged and the cause.
func (e *DamagedError) Unwrap() []error { return []error{store.ErrDamaged, e.Err} }
