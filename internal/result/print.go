package result

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/nodeseal/nodeseal/internal/visible"
)

// printer writes lines for people, with nothing of its arguments that a terminal would
// obey. Its first error stays.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = visible.Fprintf(p.w, format+"\n", args...)
	}
}

// width is what blocks fit in: a terminal of 80 columns.
const width = 80

// block writes a line that is broken where it does not fit, with further lines indented by
// two more than the first.
func (p *printer) block(format string, args ...any) {
	text := visible.Sprintf(format, args...)
	indent := text[:len(text)-len(strings.TrimLeft(text, " "))]
	line := indent
	for i, word := range strings.Fields(text) {
		for j, piece := range pieces(word, width-len(indent)-2) {
			sep := " "
			if j > 0 || i == 0 {
				sep = ""
			}
			if j > 0 || i > 0 && utf8.RuneCountInString(line+sep+piece) > width {
				p.line("%s", line)
				line, sep = indent+"  ", ""
			}
			line += sep + piece
		}
	}
	p.line("%s", line)
}

// pieces breaks a word that is longer than limit before its digest, and then behind
// slashes. A piece with no such place stays longer.
func pieces(word string, limit int) []string {
	if utf8.RuneCountInString(word) <= limit {
		return []string{word}
	}
	if i := strings.Index(word, "@"); i > 0 {
		return append(pieces(word[:i], limit), word[i:])
	}
	var out []string
	line := ""
	for _, piece := range strings.SplitAfter(word, "/") {
		if line != "" && utf8.RuneCountInString(line+piece) > limit {
			out, line = append(out, line), ""
		}
		line += piece
	}
	return append(out, line)
}

// Plural returns "1 image", "2 images".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
