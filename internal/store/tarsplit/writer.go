package tarsplit

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/vbatts/tar-split/tar/storage"
)

// Writer writes a tar-split, plain, one entry a line: the bytes that
// storage.NewJSONPacker writes. Entries with usual names are written without a JSON
// encoder. It does not remember names: that no two files have the same one is what the
// rules for layers say (layerrules.ErrTwice). Like every storage.Packer it is for one
// goroutine.
type Writer struct {
	w        io.Writer
	line     []byte // used again by each call
	position int
}

// NewWriter returns a Writer to w, which gets one Write for each entry.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// AddEntry implements storage.Packer: it gives the entry its position, from 0, and
// returns that. The error is the underlying writer's.
func (w *Writer) AddEntry(e storage.Entry) (int, error) {
	if !utf8.ValidString(e.Name) {
		e.Name, e.NameRaw = "", []byte(e.Name)
	}
	e.Position = w.position
	if err := w.encode(&e); err != nil {
		return -1, err
	}
	if _, err := w.w.Write(w.line); err != nil {
		return -1, err
	}
	w.position++
	return e.Position, nil
}

// encode makes the line of an entry.
func (w *Writer) encode(e *storage.Entry) error {
	if len(e.NameRaw) > 0 || !verbatim(e.Name) {
		line, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("entry of the tar-split: %w", err)
		}
		w.line = append(append(w.line[:0], line...), '\n')
		return nil
	}
	b := strconv.AppendInt(append(w.line[:0], `{"type":`...), int64(e.Type), 10)
	if e.Name != "" {
		b = append(append(append(b, `,"name":"`...), e.Name...), '"')
	}
	if e.Size != 0 {
		b = strconv.AppendInt(append(b, `,"size":`...), e.Size, 10)
	}
	if b = append(b, `,"payload":`...); e.Payload == nil {
		b = append(b, `null`...)
	} else {
		b = append(base64.StdEncoding.AppendEncode(append(b, '"'), e.Payload), '"')
	}
	b = strconv.AppendInt(append(b, `,"position":`...), int64(e.Position), 10)
	w.line = append(b, "}\n"...)
	return nil
}

// verbatim reports whether encoding/json writes name as it is. It does so with more
// names than with these.
func verbatim(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}
