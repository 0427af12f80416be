package imagelist

import (
	"errors"
	"slices"

	"github.com/nodeseal/nodeseal/bundle"
)

// KeepNone is the value of NewKeep that keeps nothing.
const KeepNone = "none"

// Keep says of which images a bundle keeps the registry's own bytes. The zero value: of
// those of operating systems.
type Keep struct {
	none     bool
	patterns []pattern
}

// NewKeep makes a Keep of patterns as NewFilter has them: what matches one is kept besides
// the operating systems. KeepNone stands alone, and keeps nothing.
func NewKeep(values []string) (Keep, error) {
	if slices.Contains(values, KeepNone) {
		if len(values) > 1 {
			return Keep{}, errors.New(KeepNone + " stands alone: it keeps no image")
		}
		return Keep{none: true}, nil
	}
	var k Keep
	for _, v := range values {
		p, err := compile(v)
		if err != nil {
			return Keep{}, err
		}
		k.patterns = append(k.patterns, p)
	}
	return k, nil
}

// Wants reports whether the bytes of e are kept, and whether that was asked for by name.
func (k Keep) Wants(e Entry) (keep, named bool) {
	named = matches(k.patterns, e)
	return named || (!k.none && e.Role == bundle.RoleOS), named
}

// Unmatched returns the patterns, as they were said, that match none of entries.
func (k Keep) Unmatched(entries []Entry) []string { return unmatched(k.patterns, entries) }
