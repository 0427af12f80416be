// Package tomlbound decodes TOML documents that come from outside. The TOML libraries take
// memory with the square of a dotted key's length, and stack with the depth of brackets;
// here such a document is refused before it is decoded.
package tomlbound

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/BurntSushi/toml"
)

const (
	// MaxSize is how long a document may be, in bytes.
	MaxSize = 1 << 20
	// MaxDepth is how deep brackets and braces may be nested, also in strings and comments.
	MaxDepth = 256
	// MaxValues is how many values a document may have: lines, commas, brackets and braces.
	MaxValues = 64 << 10
	// maxParts bounds the sum of the squares of the dots of each line.
	maxParts = 4 << 20
)

// ErrBound is wrapped by the error about a document that would take too much memory.
var ErrBound = errors.New("TOML of too many values")

// Unmarshal is toml.Unmarshal for a document that Check does not refuse.
func Unmarshal(data []byte, v any) error {
	if err := Check(data); err != nil {
		return err
	}
	return toml.Unmarshal(data, v)
}

// Check counts what decoding a document takes, without memory of its own. What it passes is
// decoded with a few dozen megabytes. It does not say that the document is TOML.
func Check(data []byte) error {
	if len(data) > MaxSize {
		return fmt.Errorf("%w: %d bytes, at most %d are read", ErrBound, len(data), MaxSize)
	}
	depth, values, parts := 0, 0, 0
	for line := range bytes.Lines(data) {
		dots := 0
		values++
		for _, c := range line {
			switch c {
			case '.':
				dots++
			case ',':
				values++
			case '[', '{':
				values++
				depth++
			case ']', '}':
				depth = max(depth-1, 0)
			}
			if depth > MaxDepth {
				return fmt.Errorf("%w: nested more than %d deep", ErrBound, MaxDepth)
			}
		}
		parts += dots * dots
	}
	switch {
	case values > MaxValues:
		return fmt.Errorf("%w: %d, at most %d are read", ErrBound, values, MaxValues)
	case parts > maxParts:
		return fmt.Errorf("%w: keys of too many parts", ErrBound)
	}
	return nil
}
