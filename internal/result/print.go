package result

import (
	"fmt"
	"io"

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

// Plural returns "1 image", "2 images".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
