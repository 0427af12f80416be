package file

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUTF16 is wrapped by the error about a list in UTF-16, as PowerShell's >
// writes it.
var ErrUTF16 = errors.New("text is UTF-16: save it as UTF-8")

// maxShown bounds how much of a line an error repeats, and maxListed how many
// lines the text of Errors has.
const (
	maxShown  = 100
	maxListed = 20
)

// LineError is about one line of a list.
type LineError struct {
	File string
	Line int
	// Text is the line, without white space around it, shortened.
	Text string
	Err  error
}

// Error begins with file:line, as compilers do.
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap returns Err.
func (e *LineError) Unwrap() error { return e.Err }

// Errors are the first bad lines of a list, in their order; never empty.
type Errors []*LineError

// Error has a line for each of the first errors, and says how many there are more.
func (e Errors) Error() string {
	var b strings.Builder
	for i, le := range e {
		if i == maxListed {
			fmt.Fprintf(&b, "\nand %d more lines", len(e)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(le.Error())
	}
	if len(e) == maxBad {
		fmt.Fprintf(&b, "\nand what follows line %d was not read: a list has one reference a line", e[maxBad-1].Line)
	}
	return b.String()
}

// Unwrap returns the single errors.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, le := range e {
		out[i] = le
	}
	return out
}
