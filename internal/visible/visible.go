// Package visible makes text that comes from outside (a bundle, a stick, a
// registry, a cluster) safe to show: on a terminal, in a log, in a file for
// people, and in a command to copy. What a terminal would obey, what reorders
// text, and what no one can see is written as Go writes it in a string: \x1b,
// \u202e. All functions may be called concurrently.
package visible

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Line returns s as a part of one line: without control characters (line breaks
// among them), characters that change the direction of text, other invisible
// ones, and bytes that are not UTF-8. Each is replaced by its escape. A tab
// becomes a space.
func Line(s string) string {
	if clean(s) {
		return s
	}
	return string(appendVisible(nil, s, false))
}

// continued begins each further line of Lines: nothing that comes from outside
// can look like a line of its own, or like a next step.
const continued = "\n  | "

// Lines returns s with its line breaks, each line made visible as by Line. Lines
// behind the first begin with "  | ", so that none of them passes for a line that
// the program wrote itself.
func Lines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i, line := range lines {
		if i > 0 {
			line = strings.TrimPrefix(line, "  ")
		}
		lines[i] = Line(line)
	}
	return strings.Join(lines, continued)
}

// Sprintf formats as fmt.Sprintf does, and makes each argument visible as Line
// does, errors as Lines does. The format is the program's own: its line breaks stay.
func Sprintf(format string, args ...any) string {
	shown := make([]any, len(args))
	for i, arg := range args {
		shown[i] = argument{arg}
	}
	return fmt.Sprintf(format, shown...)
}

// Fprintf writes what Sprintf returns to w. The error is that of w.
func Fprintf(w io.Writer, format string, args ...any) (int, error) {
	return io.WriteString(w, Sprintf(format, args...))
}

// argument is a value whose text is made visible.
type argument struct{ value any }

// Format implements fmt.Formatter.
func (a argument) Format(f fmt.State, verb rune) {
	if err, ok := a.value.(error); ok && err != nil && (verb == 'v' || verb == 's') {
		io.WriteString(f, Lines(err.Error())) //nolint:errcheck // a buffer of fmt
		return
	}
	io.WriteString(f, Line(fmt.Sprintf(fmt.FormatString(f, verb), a.value))) //nolint:errcheck // a buffer of fmt
}

// clean reports whether s can be shown as it is.
func clean(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return false
		}
	}
	return true
}

// appendVisible appends s to b, each character as it is or as its escape. With
// breaks, line breaks and tabs stay.
func appendVisible(b []byte, s string, breaks bool) []byte {
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case breaks && (r == '\n' || r == '\t'):
			b = append(b, byte(r))
		case r == '\t':
			b = append(b, ' ')
		case r == utf8.RuneError && size == 1:
			b = fmt.Appendf(b, `\x%02x`, s[0])
		case strconv.IsPrint(r):
			b = append(b, s[:size]...)
		default:
			quoted := strconv.QuoteRune(r)
			b = append(b, quoted[1:len(quoted)-1]...)
		}
		s = s[size:]
	}
	return b
}

// NewWriter returns a writer that makes what is written to it visible, but for
// line breaks and tabs, and passes it on to w. It is the last net below Sprintf:
// a character must not be split between two calls of Write.
func NewWriter(w io.Writer) io.Writer { return writer{w} }

type writer struct{ w io.Writer }

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) {
	out := p
	if bytes.IndexFunc(p, func(r rune) bool {
		return r != '\n' && r != '\t' && (r == utf8.RuneError || !strconv.IsPrint(r))
	}) >= 0 {
		out = appendVisible(make([]byte, 0, len(p)+16), string(p), true)
	}
	if _, err := w.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// plain are the characters of words that a shell takes as they are.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-"

// ShellWord returns s as one word of a POSIX shell's command: in single quotes
// where it needs them. Shown by Line, a word with a control character is no
// longer the same, but never more than one word.
func ShellWord(s string) string {
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
