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
	// recordDepth is how deep lists in records are nested: a list of records, a record, its list.
	recordDepth = 3
	// numbers is how many numbers in such a list count as one element.
	numbers = 16
	// recordAllowance, recordBytes and recordMemberBytes are for records and their members
	// what Allowance, ElementBytes and MemberBytes are for any document.
	recordAllowance   = 16 << 10
	recordBytes       = 256
	recordMemberBytes = 24
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

// CheckRecords is Check for a list of records as container stores keep them: each is long, and holds lists of numbers, the owners of
// files, that take little more memory decoded than written.
func CheckRecords(data []byte) error {
	var s scan
	s.count(data)
	s.elements += s.numbers / numbers
	if n := recordAllowance + len(data)/recordBytes; s.records > n {
		return fmt.Errorf("%w: %d records in %d bytes, at most %d are read", ErrBound, s.records, len(data), n)
	}
	return s.refuse(len(data), recordMemberBytes)
}

// Check counts the values of a document, without memory of its own. What it passes, json.Unmarshal
// decodes with a few bytes of memory for each byte of data, and Allowance values besides. It does
// not say that the document is JSON. The error wraps ErrBound.
func Check(data []byte) error {
	var s scan
	s.count(data)
	s.elements += s.numbers
	return s.refuse(len(data), MemberBytes)
}

// count counts.
func (s *scan) count(data []byte) {
	for i := 0; i < len(data) && !s.tooDeep; i++ {
		switch data[i] {
		case '"':
			i = endOfString(data, i+1)
		case '{', '[':
			if s.depth == MaxDepth {
				s.tooDeep = true
				continue
			}
			s.array[s.depth] = data[i] == '['
			s.depth++
			s.elements++
		case '}', ']':
			s.depth = max(s.depth-1, 0)
		case ',':
			switch {
			case s.depth == 0 || !s.array[s.depth-1]:
				s.members++
			case s.depth == recordDepth && startsNumber(data[i+1:]):
				s.numbers++
			default:
				s.elements++
				if s.depth == 1 {
					s.records++
				}
			}
		}
	}
}

// refuse returns an error if a document of size bytes may not have what was counted.
func (s *scan) refuse(size, memberBytes int) error {
	if s.tooDeep {
		return fmt.Errorf("%w: nested more than %d deep", ErrBound, MaxDepth)
	}
	if n := Allowance + size/ElementBytes; s.elements > n {
		return fmt.Errorf("%w: %d elements in %d bytes, at most %d are read", ErrBound, s.elements, size, n)
	}
	if n := Allowance + size/memberBytes; s.members > n {
		return fmt.Errorf("%w: %d members in %d bytes, at most %d are read", ErrBound, s.members, size, n)
	}
	return nil
}

// scan is what Check counts.
type scan struct {
	depth, elements, members int
	records                  int // elements of the outermost list, also among elements
	numbers                  int // numbers of lists in records
	tooDeep                  bool
	array                    [MaxDepth]bool
}

// startsNumber reports whether a number follows.
func startsNumber(data []byte) bool {
	return len(data) > 0 && (data[0] >= '0' && data[0] <= '9')
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
