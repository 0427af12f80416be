package ui

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/term"
)

// console is the terminal that bars are drawn on, for the library. Each frame begins at the
// left edge, wherever the cursor is: a terminal shows ^C where it is, and a frame that began
// behind that would leave pieces of the one before on the screen.
type console struct {
	bytes.Buffer
	file *os.File
	up   int // lines of the last frame that the next one takes the place of
}

// IsTerminal implements mpb.ConsoleWriter. There are no bars elsewhere.
func (c *console) IsTerminal() bool { return true }

// GetTermSize implements mpb.ConsoleWriter.
func (c *console) GetTermSize() (width, height int, err error) {
	width, height, err = term.GetSize(int(c.file.Fd()))
	if err != nil {
		return 0, 0, fmt.Errorf("size of the terminal: %w", err)
	}
	return width, height, nil
}

// Flush implements mpb.ConsoleWriter: it writes a frame, of which lines are to be drawn over.
func (c *console) Flush(lines int) error {
	frame := []byte("\r")
	if c.up > 0 {
		frame = fmt.Appendf(frame, "\x1b[%dA", c.up)
	}
	frame = append(frame, "\x1b[J"...)
	frame = append(frame, c.Bytes()...)
	c.Reset()
	c.up = lines
	if _, err := c.file.Write(frame); err != nil {
		return fmt.Errorf("drawing progress: %w", err)
	}
	return nil
}
