package ui

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// painted are the words that have a color at the start of a line, longer ones before those
// that they begin with.
func painted() []struct{ word, color string } {
	return []struct{ word, color string }{
		{"OK", green}, {"NOT OK", red}, {"FAILED", red}, {"PROBLEM", red}, {"DAMAGED", red}, {"MISSING", red}, {"HURT", red}, {"BREAKS", red}, {"NOT READ", yellow},
		{"REFUSED", red}, {"UNSEEN", red}, {"nodeseal:", red}, {"WARNING", yellow}, {"warning:", yellow}, {"ONE STEP IS LEFT", yellow},
	}
}

// Paint returns a writer that gives the words at the start of a line which say how something
// went a color, if w is a terminal that has colors and NO_COLOR is not set; else w.
func Paint(w io.Writer) io.Writer {
	if file, ok := w.(*os.File); ok && os.Getenv("NO_COLOR") == "" && hasCursor(file) {
		return &painter{w: w, start: true}
	}
	return w
}

// hasCursor reports whether file is a terminal that obeys escape sequences.
func hasCursor(file *os.File) bool {
	return term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb"
}

// painter paints lines. What it is given has no escape sequences of others.
type painter struct {
	w     io.Writer
	start bool // the next byte begins a line
}

func (p *painter) Write(text []byte) (int, error) {
	var out []byte
	for line := range bytes.Lines(text) {
		if p.start {
			line = paint(line)
		}
		p.start = bytes.HasSuffix(line, []byte("\n"))
		out = append(out, line...)
	}
	if _, err := p.w.Write(out); err != nil {
		return 0, fmt.Errorf("writing to the terminal: %w", err)
	}
	return len(text), nil
}

// paint gives the first word of a line its color.
func paint(line []byte) []byte {
	for _, s := range painted() {
		rest, ok := bytes.CutPrefix(line, []byte(s.word))
		if ok && (len(rest) == 0 || strings.ContainsRune(" :,.\n", rune(rest[0]))) {
			return append([]byte(s.color+s.word+plain), rest...)
		}
	}
	return line
}
