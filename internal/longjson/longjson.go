// Package longjson writes a JSON document with one long list a member at a time: the
// document is never in memory as text.
package longjson

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Write writes doc, a struct, as indented JSON with a final newline, and members as the list of
// its field of that name in JSON, which is empty in doc. The bytes are those that json.Encoder
// would write of the whole. Where the field is nil, it is null, and no members are asked for.
func Write[T any](w io.Writer, doc any, field string, members iter.Seq[T]) error {
	rest, err := indented(doc, "")
	if err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	none := fmt.Sprintf("\n %q: []", field) // strings have no newlines
	head, rest, found := bytes.Cut(rest, []byte(none))
	_, _ = b.Write(head) // Flush has the error
	if !found {
		return b.Flush()
	}
	_, _ = b.WriteString(strings.TrimSuffix(none, "]"))
	some := false
	for m := range members {
		if some {
			_ = b.WriteByte(',')
		}
		some = true
		one, err := indented(m, "  ")
		if err != nil {
			return err
		}
		_, _ = b.WriteString("\n  ")
		_, _ = b.Write(bytes.TrimSuffix(one, []byte("\n")))
	}
	if some {
		_, _ = b.WriteString("\n ")
	}
	_ = b.WriteByte(']')
	_, _ = b.Write(rest)
	return b.Flush()
}

// indented returns v as JSON, with a newline. Lines but the first begin with prefix.
func indented(v any, prefix string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent(prefix, " ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}
