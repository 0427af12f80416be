package kubeobject

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

const (
	// MaxObject bounds one object, and what a list has besides its items, in bytes. etcd
	// takes 1.5 MiB.
	MaxObject = 16 << 20
	// maxLists is how deep lists may stand in lists.
	maxLists = 8
)

// errLong is the error about a value that MaxObject does not allow.
var errLong = fmt.Errorf("%w: an object of more than %d MiB", ErrObject, MaxObject>>20)

// splitter cuts JSON into values without looking into them: brackets and strings
// only. What it gives may still not be JSON; who decodes it finds that.
type splitter struct {
	r *bufio.Reader
	// lists is how many lists are around it.
	lists int
	// list is set before the first item of a document is handed on, where it is one; it may be nil.
	list *bool
}

// next returns the next byte that is not white space, and leaves it there.
func (s splitter) next() (byte, error) {
	for {
		b, err := s.r.ReadByte()
		if err != nil {
			return 0, err
		}
		switch b {
		case ' ', '\t', '\r', '\n':
		default:
			return b, s.r.UnreadByte()
		}
	}
}

// expect takes the next byte, which must be want.
func (s splitter) expect(want byte) error {
	b, err := s.next()
	if err != nil {
		return unexpected(err)
	}
	if b != want {
		return fmt.Errorf("%w: found %q, want %q", ErrObject, b, want)
	}
	_, err = s.r.Discard(1)
	return err
}

// more takes a comma, and reports false at end, which it leaves there. first says
// that no comma stands before the value.
func (s splitter) more(end byte, first bool) (bool, error) {
	b, err := s.next()
	if err != nil {
		return false, unexpected(err)
	}
	if b == end {
		return false, nil
	}
	if first {
		return true, nil
	}
	return true, s.expect(',')
}

// value appends the next value to buf.
func (s splitter) value(buf []byte) ([]byte, error) {
	if _, err := s.next(); err != nil {
		return buf, unexpected(err)
	}
	var v valueState
	start := len(buf)
	for {
		if _, err := s.r.Peek(1); err != nil {
			if errors.Is(err, io.EOF) && v.literal {
				return buf, nil
			}
			return buf, unexpected(err)
		}
		chunk, err := s.r.Peek(s.r.Buffered())
		if err != nil {
			return buf, err
		}
		n, done := v.scan(chunk)
		buf = append(buf, chunk[:n]...)
		if _, err := s.r.Discard(n); err != nil {
			return buf, err
		}
		if done {
			return buf, nil
		}
		if len(buf)-start > MaxObject {
			return buf, errLong
		}
	}
}

// valueState is where a value stands between chunks.
type valueState struct {
	depth            int
	inString, escape bool
	literal          bool
}

// scan looks at chunk and returns how much of it belongs to the value, and
// whether the value ends there.
func (v *valueState) scan(chunk []byte) (n int, done bool) {
	for i := 0; i < len(chunk); i++ {
		c := chunk[i]
		if v.inString {
			switch {
			case v.escape:
				v.escape = false
			case c == '\\':
				v.escape = true
			case c == '"':
				v.inString = false
				if v.depth == 0 {
					return i + 1, true
				}
			}
			continue
		}
		switch c {
		case '"':
			v.inString = true
		case '{', '[':
			v.depth++
		case '}', ']':
			if v.depth == 0 {
				return i, true // the end of what holds a literal
			}
			if v.depth--; v.depth == 0 {
				return i + 1, true
			}
		case ',', ' ', '\t', '\r', '\n':
			if v.depth == 0 {
				return i, true
			}
		default:
			v.literal = v.literal || v.depth == 0
		}
	}
	return len(chunk), false
}

// withoutManagedFields empties metadata.managedFields, as an API server writes
// it, in place: half of many an object, and of no use here. A string cannot hold
// what is searched for: its quotes would be escaped.
func withoutManagedFields(raw []byte) []byte {
	mark := []byte(`"managedFields":[`)
	i := bytes.Index(raw, mark)
	if i < 0 {
		return raw
	}
	start := i + len(mark) - 1
	var v valueState
	n, done := v.scan(raw[start:])
	if !done || n < 2 {
		return raw
	}
	return append(raw[:start+1], raw[start+n-1:]...)
}

// ReadList reads one JSON document from r and calls item for each object of a
// List while the rest is still being read, or once where the document is a
// single object. An item of more than MaxObject is read as a List itself. item must not keep raw longer than the call. Reading stops at
// the first error of item, which is returned as it is; other errors wrap
// ErrObject or are those of the reader; io.EOF means that there was no further
// document.
func ReadList(r *bufio.Reader, item func(raw []byte) error) (ListHead, error) {
	s := splitter{r: r}
	return s.document(item)
}

// document reads one JSON document, as ReadList describes.
func (s *splitter) document(item func(raw []byte) error) (ListHead, error) {
	b, err := s.next()
	switch {
	case err != nil:
		return ListHead{}, err
	case b != '{':
		return ListHead{}, fmt.Errorf("%w: found %q, want a JSON object", ErrObject, b)
	}
	if err := s.expect('{'); err != nil {
		return ListHead{}, err
	}
	rest := make(map[string]json.RawMessage)
	isList, left := false, MaxObject
	for first := true; ; first = false {
		more, err := s.more('}', first)
		if err != nil {
			return ListHead{}, err
		}
		if !more {
			break
		}
		key, err := s.key()
		if err != nil {
			return ListHead{}, err
		}
		if _, twice := rest[key]; twice || key == "items" && isList {
			return ListHead{}, fmt.Errorf("%w: it has %q twice", ErrObject, key)
		}
		if key == "items" {
			isList = true
			if s.list != nil {
				*s.list = true
			}
			if err := s.items(item); err != nil {
				return ListHead{}, err
			}
			continue
		}
		raw, err := s.value(nil)
		if err != nil {
			return ListHead{}, err
		}
		const member = 64 // what it costs beside its bytes
		if left -= len(key) + len(raw) + member; left < 0 {
			return ListHead{}, errLong
		}
		rest[key] = raw
	}
	if err := s.expect('}'); err != nil {
		return ListHead{}, err
	}
	if !isList {
		whole, err := json.Marshal(rest)
		if err != nil {
			return ListHead{}, fmt.Errorf("%w: %w", ErrObject, err)
		}
		return ListHead{}, item(whole)
	}
	return listHead(rest)
}

// key reads the name of a member and the colon after it.
func (s splitter) key() (string, error) {
	raw, err := s.value(nil)
	if err != nil {
		return "", err
	}
	var key string
	if err := json.Unmarshal(raw, &key); err != nil {
		return "", fmt.Errorf("%w: %w", ErrObject, err)
	}
	return key, s.expect(':')
}

// readAgain is the length of the buffer before a list that is read again, in bytes.
const readAgain = 64 << 10

// items reads the array of a list; null is none.
func (s *splitter) items(item func(raw []byte) error) error {
	b, err := s.next()
	if err != nil {
		return unexpected(err)
	}
	if b == 'n' {
		raw, err := s.value(nil)
		if err == nil && string(raw) != "null" {
			err = fmt.Errorf("%w: items is not a list", ErrObject)
		}
		return err
	}
	if err := s.expect('['); err != nil {
		return err
	}
	var buf []byte // for all items
	for first := true; ; first = false {
		more, err := s.more(']', first)
		if err != nil {
			return err
		}
		if !more {
			return s.expect(']')
		}
		buf, err = s.value(buf[:0])
		if errors.Is(err, errLong) && s.lists < maxLists && buf[0] == '{' {
			// Only a list is that long: it is read again from its start, item by item.
			again := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(buf), s.r), readAgain)
			inner := splitter{r: again, lists: s.lists + 1}
			if _, err := inner.document(item); err != nil {
				return err
			}
			s.r, buf = inner.r, nil
			continue
		}
		if err != nil {
			return err
		}
		if err := item(withoutManagedFields(buf)); err != nil {
			return err
		}
	}
}

func listHead(rest map[string]json.RawMessage) (ListHead, error) {
	var head ListHead
	var meta struct {
		Continue string `json:"continue"`
	}
	for _, part := range []struct {
		raw  json.RawMessage
		into any
	}{{rest["kind"], &head.Kind}, {rest["metadata"], &meta}} {
		if part.raw != nil {
			if err := jsonbound.Unmarshal(part.raw, part.into); err != nil {
				return ListHead{}, fmt.Errorf("%w: %w", ErrObject, err)
			}
		}
	}
	head.Continue = meta.Continue
	return head, nil
}

// unexpected is an error of the reader in the middle of a document: an early end
// is the document's fault.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", ErrObject, io.ErrUnexpectedEOF)
	}
	return err
}
