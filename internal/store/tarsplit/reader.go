// Package tarsplit reads and writes what package storage of tar-split does, in a fraction of the
// time.
package tarsplit

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/vbatts/tar-split/tar/storage"
)

// maxEntry bounds the line of one entry, in bytes.
const maxEntry = 32 << 20

// Reader reads a tar-split, plain, one entry a line. Lines as every writer makes them
// are read without a JSON decoder, which would take a third of the time that
// hashing takes; others by one. Like every storage.Unpacker it is for one goroutine.
type Reader struct {
	lines *bufio.Reader
	// entry and payload are used again by each call.
	entry   storage.Entry
	payload []byte
}

// NewReader returns a Reader of r, which it reads in pieces of 256 KiB.
func NewReader(r io.Reader) *Reader { return &Reader{lines: bufio.NewReaderSize(r, 256<<10)} }

// Next implements storage.Unpacker. The entry is valid until the next call.
func (e *Reader) Next() (*storage.Entry, error) {
	var line []byte
	for len(line) == 0 { // an empty line is none
		var err error
		line, err = e.line()
		if err != nil && !errors.Is(err, io.EOF) || len(line) == 0 && err != nil {
			return nil, err // io.EOF is the end
		}
	}
	if e.plain(line) {
		return &e.entry, nil
	}
	e.entry = storage.Entry{}
	if err := json.Unmarshal(line, &e.entry); err != nil {
		return nil, fmt.Errorf("entry of the tar-split: %w", err)
	}
	return &e.entry, nil
}

// line returns the next line without blanks around it, and io.EOF with the last one.
func (e *Reader) line() ([]byte, error) {
	line, err := e.lines.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(long) > maxEntry {
				return nil, fmt.Errorf("entry of the tar-split: more than %d bytes", maxEntry)
			}
			line, err = e.lines.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	return bytes.TrimSpace(line), err
}

// plain reads a line in the form that encoding/json gives an entry, and reports
// whether it has that form.
func (e *Reader) plain(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte(`{"type":`))
	kind, rest, ok2 := number(rest)
	if !ok || !ok2 {
		return false
	}
	out := storage.Entry{Type: storage.Type(kind)}
	if after, ok := bytes.CutPrefix(rest, []byte(`,"name":"`)); ok {
		name, after, ok := bytes.Cut(after, []byte{'"'})
		if !ok || bytes.IndexByte(name, '\\') >= 0 {
			return false
		}
		out.Name, rest = string(name), after
	}
	if after, ok := bytes.CutPrefix(rest, []byte(`,"size":`)); ok {
		if out.Size, rest, ok = number(after); !ok {
			return false
		}
	}
	rest, ok = bytes.CutPrefix(rest, []byte(`,"payload":"`))
	text, rest, ok2 := bytes.Cut(rest, []byte{'"'})
	if !ok || !ok2 {
		return false
	}
	if n := base64.StdEncoding.DecodedLen(len(text)); n > cap(e.payload) {
		e.payload = make([]byte, n)
	}
	n, err := base64.StdEncoding.Decode(e.payload[:cap(e.payload)], text)
	if err != nil {
		return false
	}
	out.Payload = e.payload[:n]
	rest, ok = bytes.CutPrefix(rest, []byte(`,"position":`))
	position, rest, ok2 := number(rest)
	if !ok || !ok2 || string(rest) != "}" {
		return false
	}
	out.Position = int(position)
	e.entry = out
	return true
}

// number cuts a number off the beginning of b.
func number(b []byte) (n int64, rest []byte, ok bool) {
	i := 0
	for i < len(b) && (b[i] == '-' || b[i] >= '0' && b[i] <= '9') {
		i++
	}
	n, err := strconv.ParseInt(string(b[:i]), 10, 64)
	return n, b[i:], err == nil
}
