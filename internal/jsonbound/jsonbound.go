// Package jsonbound decodes JSON documents that come from outside. A short document can cost a
// hundred times its length once it is decoded ("[{},{},{}…]" into large structs); here such a
// document is refused before memory is taken for it.
package jsonbound

import (
	"encoding/json"
	"errors"
	"fmt"
)

const (
	// Allowance is how many elements and members any document may have.
	Allowance = 64 << 10
	// ElementBytes is how long an array's element, object or array must be on average,
	// in bytes, where a document has more of them than the allowance.
	ElementBytes = 64
	// MemberBytes is the same for the members of objects.
	MemberBytes = 12
	// MaxDepth is how deep arrays and objects may be nested.
	MaxDepth = 256
)

// ErrBound is wrapped by the error about a document that would take too much memory.
var ErrBound = errors.New("JSON of too many values for its length")

// Unmarshal is json.Unmarshal for a document that Check does not refuse. The length of data is
// for the caller to bound.
func Unmarshal(data []byte, v any) error {
	if err := Check(data); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// Check counts the values of a document, without memory of its own. What it passes, json.Unmarshal
// decodes with a few bytes of memory for each byte of data, and Allowance values besides. It does
// not say that the document is JSON. The error wraps ErrBound.
func Check(data []byte) error {
	var s scan
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = endOfString(data, i+1)
		case '{', '[':
			if s.depth == MaxDepth {
				return fmt.Errorf("%w: nested more than %d deep", ErrBound, MaxDepth)
			}
			s.array[s.depth] = data[i] == '['
			s.depth++
			s.elements++
		case '}', ']':
			s.depth = max(s.depth-1, 0)
		case ',':
			if s.depth > 0 && s.array[s.depth-1] {
				s.elements++
			} else {
				s.members++
			}
		}
	}
	if n := Allowance + len(data)/ElementBytes; s.elements > n {
		return fmt.Errorf("%w: %d elements in %d bytes, at most %d are read", ErrBound, s.elements, len(data), n)
	}
	if n := Allowance + len(data)/MemberBytes; s.members > n {
		return fmt.Errorf("%w: %d members in %d bytes, at most %d are read", ErrBound, s.members, len(data), n)
	}
	return nil
}

// scan is what Check counts.
type scan struct {
	depth, elements, members int
	array                    [MaxDepth]bool
}

// endOfString returns the place of the quote that ends the string whose first byte is data[i].
func endOfString(data []byte, i int) int {
	for ; i < len(data) && data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i
}
