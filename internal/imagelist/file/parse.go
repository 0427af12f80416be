// Package file reads lists of images as people write them and as oc prints
// them: one reference a line.
package file

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
)

const (
	// MaxLine bounds a line, in bytes.
	MaxLine = 16 << 10
	// MaxFile bounds a list, in bytes.
	MaxFile = 32 << 20
	// MaxLines bounds the lines that say something: a reference, or a note. What they say is kept.
	MaxLines = 250_000
	// maxBad bounds the bad lines that are collected: a file with more is no list.
	maxBad = 10_000
)

// Parse reads a list from at most MaxFile bytes of r. name is what the list is
// called in origins and errors: line 12 of it is found at "name:12".
//
// A line is a reference with its registry, which imagelist.NewEntry
// normalises; duplicates are joined. Empty lines, what follows a # that stands
// first or after white space, white space around a line, carriage returns and
// a UTF-8 byte order mark are left out. The lines "Image:" and "Image ID:" of
// "oc describe" may stand as they are printed; an image ID that is not a
// reference says nothing and is left out too.
//
// Notes, comments as imagelist.Note describes them, give further names to the
// references.
//
// Bad lines are collected: the error is then an Errors, and the list has
// the good ones. Reading ends after 10,000 of them. Other errors are those of r, of a list
// that is no text, and of one that is longer than may be (imagelist.ErrTooMany).
func Parse(r io.Reader, name string) (*imagelist.List, error) {
	l, _, err := ParseNotes(r, name)
	return l, err
}

// ParseNotes reads a list as Parse does, and returns also what its notes say of the
// whole list.
func ParseNotes(r io.Reader, name string) (*imagelist.List, imagelist.Notes, error) {
	p := parser{name: name, list: new(imagelist.List)}
	err := p.read(r)
	p.notes.Apply(p.list)
	return p.list, p.notes, err
}

func (p *parser) read(r io.Reader) error {
	lines := bufio.NewReaderSize(io.LimitReader(r, MaxFile+1), MaxLine+1)
	total := 0
	for n := 1; ; n++ {
		line, size, err := readLine(lines)
		total += size
		switch {
		case errors.Is(err, io.EOF) && size == 0:
			return p.result()
		case total > MaxFile:
			return fmt.Errorf("%s: %w: longer than %d bytes", p.name, imagelist.ErrTooMany, MaxFile)
		case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errLong):
			return fmt.Errorf("reading %s: %w", p.name, err)
		}
		if n == 1 {
			if bytes.HasPrefix(line, []byte{0xff, 0xfe}) || bytes.HasPrefix(line, []byte{0xfe, 0xff}) {
				return fmt.Errorf("%s: %w", p.name, ErrUTF16)
			}
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if errors.Is(err, errLong) {
			p.bad(n, string(line[:maxShown])+"...", err)
		} else {
			p.line(n, string(line))
		}
		switch {
		case len(p.errs) == maxBad:
			return p.errs
		case p.said > MaxLines:
			return fmt.Errorf("%s: %w: more than %d lines with a reference or a note", p.name, imagelist.ErrTooMany, MaxLines)
		}
		if err := p.list.Check(); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
}

// errLong is the reason of a line that is longer than MaxLine.
var errLong = fmt.Errorf("line is longer than %d bytes", MaxLine)

// readLine reads a line without its end, and how many bytes it took from r.
// Of one that is too long it returns the beginning, with errLong.
func readLine(r *bufio.Reader) (line []byte, size int, err error) {
	line, err = r.ReadSlice('\n')
	size = len(line)
	if !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimSuffix(line, []byte("\n")), size, err
	}
	line = bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		var more []byte
		more, err = r.ReadSlice('\n')
		size += len(more)
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = errLong
	}
	return line, size, err
}

// parser is the state of one Parse.
type parser struct {
	name  string
	list  *imagelist.List
	notes imagelist.Notes
	errs  Errors
	said  int // lines that are kept
}

func (p *parser) result() error {
	if len(p.errs) > 0 {
		return p.errs
	}
	return nil
}

// bad notes a bad line.
func (p *parser) bad(n int, text string, err error) {
	p.errs = append(p.errs, &LineError{File: p.name, Line: n, Text: text, Err: err})
}

// line takes line n.
func (p *parser) line(n int, text string) {
	if is, err := p.notes.Read(text); is {
		if err != nil {
			p.bad(n, strings.TrimSpace(text), err)
		}
		p.said++
		return
	}
	ref, ok, err := reference(text)
	if err == nil && !ok {
		return
	}
	var e imagelist.Entry
	if err == nil {
		e, err = imagelist.NewEntry(ref, bundle.Origin{Source: "file", Name: fmt.Sprintf("%s:%d", p.name, n)})
	}
	if err != nil {
		p.bad(n, strings.TrimSpace(text), err)
		return
	}
	p.list.Put(e)
	p.said++
}

// errWords is the reason of a line that holds more than a reference.
var errWords = errors.New("want one reference")

// reference finds the reference in a line; ok is false where it has none.
func reference(line string) (ref string, ok bool, err error) {
	words := strings.Fields(line)
	for i, w := range words {
		if strings.HasPrefix(w, "#") {
			words = words[:i]
			break
		}
	}
	id := false
	switch {
	case len(words) > 1 && words[0] == "Image" && words[1] == "ID:":
		words, id = words[2:], true
	case len(words) > 0 && words[0] == "Image:":
		if words = words[1:]; len(words) == 0 {
			return "", false, errWords
		}
	}
	switch len(words) {
	case 0:
		return "", false, nil
	case 1:
	default:
		return "", false, errWords
	}
	ref = strings.TrimPrefix(words[0], "docker-pullable://")
	if id && !strings.Contains(ref, "/") {
		return "", false, nil
	}
	return strings.TrimPrefix(ref, "docker://"), true, nil
}
