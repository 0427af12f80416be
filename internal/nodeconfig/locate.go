package nodeconfig

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// place is where in a storage.conf the stores can be added: the first of these
// that is set, by what is there.
type place struct {
	array  *array // additionalimagestores is there
	inline *inline
	// sibling is the line after a dotted key of storage.options, such as
	// `options.size = ""` in [storage]: the table cannot be opened otherwise.
	sibling *line
	// table is the line after the header [storage.options], or the line of a
	// setting that is commented out.
	table *line
}

// array is the value of additionalimagestores.
type array struct {
	last  int // end of the last element; 0 where there is none
	open  int // of the [
	close int // of the ]
}

// inline is an inline table on the way to the setting.
type inline struct {
	last  int // end of the last key and value; 0 where there is none
	open  int // of the {
	depth int // how many of the keys lead to it
}

// line is a place for a line of its own.
type line struct {
	at     int
	prefix string // of the key: the dotted keys before it
}

// scanner goes over the expressions of a document.
type scanner struct {
	text   []byte
	place  place
	parser unstable.Parser
	// table is the header above; other says that no setting below it can be
	// ours, as in an array of tables.
	table []string
	other bool
	// inOptions says that the header above is [storage.options], commented that
	// the setting was found below it, commented out.
	inOptions, commented bool
}

// locate finds the place for the stores in text, which is valid TOML.
func locate(text []byte) (*place, error) {
	s := scanner{text: text}
	s.parser.KeepComments = true
	s.parser.Reset(text)
	for s.parser.NextExpression() {
		e := s.parser.Expression()
		switch e.Kind {
		case unstable.Table:
			s.header(e)
		case unstable.ArrayTable:
			s.other, s.inOptions = true, false
		case unstable.KeyValue:
			if !s.other {
				s.keyValue(e, s.table)
			}
		case unstable.Comment:
			s.comment(e)
		default: // nothing else is an expression
		}
	}
	if err := s.parser.Error(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorageConf, err)
	}
	return &s.place, nil
}

func (s *scanner) header(e *unstable.Node) {
	keys, end := keysOf(e.Key())
	s.table, s.other = keys, false
	s.inOptions = matches(keys) == 2 && len(keys) == 2
	if s.inOptions {
		s.place.table = &line{at: s.nextLine(end)}
	}
}

// comment notes the setting where it is commented out: the line above is the
// best place for it.
func (s *scanner) comment(e *unstable.Node) {
	text := strings.TrimLeft(string(e.Data), "# \t")
	name, rest, found := strings.Cut(text, "=")
	if !s.inOptions || s.commented || !found || !strings.EqualFold(strings.TrimSpace(name), keyStores) {
		return
	}
	if start := lineStart(s.text, int(e.Raw.Offset)); strings.HasPrefix(strings.TrimSpace(rest), "[") && start >= s.place.table.at {
		s.place.table.at, s.commented = start, true
	}
}

// keyValue looks at a setting below the tables in above.
func (s *scanner) keyValue(e *unstable.Node, above []string) {
	own, _ := keysOf(e.Key())
	keys := append(append([]string{}, above...), own...)
	n := matches(keys)
	end := int(e.Raw.Offset + e.Raw.Length)
	value := e.Value()
	switch {
	case n == len(storesKey()) && len(keys) == n && value.Kind == unstable.Array:
		s.place.array = &array{last: lastEnd(s.text, value), open: s.valueStart(e), close: end - 1}
	case n == len(keys) && value.Kind == unstable.InlineTable:
		s.place.inline = &inline{last: lastEnd(s.text, value), open: int(value.Raw.Offset), depth: n}
		for it := value.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				s.keyValue(it.Node(), keys)
			}
		}
	case n >= 2 && len(above) < 2 && s.place.inline == nil:
		s.place.sibling = &line{at: s.nextLine(end), prefix: s.dotted(e, 2-len(above))}
	}
}

// dotted returns the first n parts of a key with their dots, as written.
func (s *scanner) dotted(e *unstable.Node, n int) string {
	it := e.Key()
	for range n + 1 {
		it.Next()
	}
	return string(s.text[e.Raw.Offset:it.Node().Raw.Offset])
}

// valueStart finds where the value of a setting starts.
func (s *scanner) valueStart(e *unstable.Node) int {
	_, end := keysOf(e.Key())
	return end + bytes.IndexByte(s.text[end:], '[')
}

func (s *scanner) nextLine(from int) int {
	if i := bytes.IndexByte(s.text[from:], '\n'); i >= 0 {
		return from + i + 1
	}
	return len(s.text)
}

// keysOf returns the parts of a key and where the last one ends.
func keysOf(it unstable.Iterator) (keys []string, end int) {
	for it.Next() {
		keys = append(keys, string(it.Node().Data))
		end = int(it.Node().Raw.Offset + it.Node().Raw.Length)
	}
	return keys, end
}

// matches counts how many of keys are those of storesKey(), from the first on.
func matches(keys []string) int {
	n := 0
	for n < len(keys) && n < len(storesKey()) && strings.EqualFold(keys[n], storesKey()[n]) {
		n++
	}
	return n
}

// lastEnd returns where the last element of an array, or the last setting of an
// inline table, ends; 0 where it is empty.
func lastEnd(text []byte, n *unstable.Node) int {
	end := 0
	for it := n.Children(); it.Next(); {
		child := it.Node()
		switch child.Kind {
		case unstable.Comment:
		case unstable.InlineTable:
			// The parser tells no end: it is the bracket after what is inside.
			end = max(lastEnd(text, child), int(child.Raw.Offset)+1)
			end = skipBlank(text, end)
			if text[end] == ',' {
				end = skipBlank(text, end+1)
			}
			end++
		default:
			end = int(child.Raw.Offset + child.Raw.Length)
		}
	}
	return end
}

// skipBlank returns the first place from i on that is no space, line end or
// comment. There is one: i lies inside of brackets.
func skipBlank(text []byte, i int) int {
	for i < len(text)-1 {
		switch text[i] {
		case ' ', '\t', '\r', '\n':
			i++
		case '#':
			next := bytes.IndexByte(text[i:], '\n')
			if next < 0 {
				return len(text) - 1
			}
			i += next
		default:
			return i
		}
	}
	return i
}
