package slot

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nodeseal/nodeseal/internal/store"
)

var (
	// ErrName reports a name that no slot has.
	ErrName = errors.New("no such slot: want a or b")
	// ErrEmpty reports a slot that holds nothing where something is wanted.
	ErrEmpty = errors.New("slot is empty")
)

// FullError reports that no slot is free. It wraps store.ErrPrecondition.
type FullError struct {
	// Older is the slot that was filled first, Release what it holds. Older is ""
	// where that is not known.
	Older   Name
	Release string
}

// Error implements error.
func (e *FullError) Error() string {
	if e.Older == "" {
		return "both slots hold a release: retire the older one first"
	}
	return fmt.Sprintf("both slots hold a release: retire slot %s first, which holds %s", e.Older, e.Release)
}

// Unwrap returns store.ErrPrecondition.
func (e *FullError) Unwrap() error { return store.ErrPrecondition }

// InUseError reports what still needs a slot. It wraps store.ErrPrecondition.
type InUseError struct {
	Slot Name
	// Root is the directory of the slots.
	Root string
	// Uses are never none.
	Uses []Use
}

// maxUses bounds how many lines the text of an error has.
const maxUses = 50

// Error implements error. It names the first uses.
func (e *InUseError) Error() string {
	var lines []string
	for i, u := range e.Uses {
		if i == maxUses {
			lines = append(lines, fmt.Sprintf("and %d more", len(e.Uses)-i))
			break
		}
		lines = append(lines, u.String())
	}
	return fmt.Sprintf("slot %s is needed:\n  %s", e.Slot, strings.Join(lines, "\n  "))
}

// Waiver is the flag of retire that empties the slot all the same, "" if there is none.
func (e *InUseError) Waiver() string {
	switch {
	case len(e.Uses) == 1 && e.Uses[0].Kind == Last:
		return "--empty-node"
	case len(e.Uses) == 1 && e.Uses[0].Kind == Staged:
		return "--staged"
	}
	return ""
}

// Unwrap returns store.ErrPrecondition.
func (e *InUseError) Unwrap() error { return store.ErrPrecondition }

// Waiting says in one line what a retire that failed with err would wait for.
func Waiting(err error) string {
	var inUse *InUseError
	if !errors.As(err, &inUse) {
		return err.Error()
	}
	const most = 3
	var uses []string
	for _, u := range inUse.Uses[:min(most, len(inUse.Uses))] {
		uses = append(uses, u.String())
	}
	if more := len(inUse.Uses) - most; more > 0 {
		uses = append(uses, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("slot %s is needed: %s", inUse.Slot, strings.Join(uses, "; "))
}

// NoOlder says why Older has no answer.
func (r *Root) NoOlder() string {
	var held []*Slot
	for _, n := range Names() {
		if s, err := r.Read(n); err == nil && !s.Store.Empty() {
			held = append(held, s)
		}
	}
	switch len(held) {
	case 0:
		return "neither holds anything"
	case 1:
		s := held[0]
		return fmt.Sprintf("slot %s is empty, and slot %s alone holds images (%s): a reboot needs them",
			s.Name.Other(), s.Name, s.Release())
	default:
		return "it is not known which was filled first: name it, nodeseal retire a or b; nodeseal status says what each holds"
	}
}
