package delta

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
)

// ErrWhole is wrapped where a layer cannot be told by its files, and is held whole.
var ErrWhole = errors.New("the layer cannot be told by its files")

// errSparse is the cause for a layer with a sparse file, whose content the tar does not have in
// one piece.
var errSparse = fmt.Errorf("a sparse file: %w", ErrWhole)

// Plan says by which old file each file of a new layer is told.
type Plan struct {
	// From are the older layers that have these files, sorted.
	From []digest.Digest
	// Memory is about what Write takes, in bytes.
	Memory int64

	choices []choice // of the regular files, in the order of the tar
}

// choice is by what a new file is told.
type choice struct {
	old   *OldFile // nil: by nothing
	equal bool
}

// writeMemory is what Write takes beside the files that it compares: the pieces of one, and the
// encoder.
const writeMemory = 64<<20 + 3*24*maxOps/2

// Plan reads the plain tar of a new layer. It is told by files of the older layers by only; what
// the first ones have is preferred. The error wraps ErrWhole where the tar cannot be told by its files.
func (o *Olds) Plan(ctx context.Context, r io.Reader, by []digest.Digest) (*Plan, error) {
	p, layers := &Plan{Memory: writeMemory}, o.of(by)
	count := &counter{r: r}
	members := tar.NewReader(count)
	from := make(map[digest.Digest]bool)
	buf := make([]byte, 64<<10)
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		h, err := members.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, readError(count, err)
		}
		if !told(h) {
			continue
		}
		sum, begin := sha256.New(), count.n
		n, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{members}, buf)
		if err != nil {
			return nil, readError(count, err)
		}
		if count.n-begin != n {
			return nil, errSparse
		}
		c := choose(layers, h, [sha256.Size]byte(sum.Sum(nil)))
		p.choices = append(p.choices, c)
		if c.old == nil {
			continue
		}
		from[c.old.Layer] = true
		if !c.equal {
			p.Memory = max(p.Memory, writeMemory+h.Size+c.old.Size+4*min(2*c.old.Size/4, maxSlots))
		}
	}
	p.From = slices.Sorted(maps.Keys(from))
	return p, nil
}

// told reports whether a member has content that may be told by an old file.
func told(h *tar.Header) bool { return h.Typeflag == tar.TypeReg && h.Size > 0 }

// readError is that of what a tar is read from, or of the tar: it is none that this package reads.
func readError(c *counter, err error) error {
	if c.err != nil {
		return fmt.Errorf("reading layer: %w", c.err)
	}
	return fmt.Errorf("%w: %w", ErrWhole, err)
}

func choose(layers []*oldLayer, h *tar.Header, sum [sha256.Size]byte) choice {
	if f := equal(layers, sum); f != nil {
		return choice{f, true}
	}
	if h.Size > MaxCompared {
		return choice{}
	}
	return choice{resembling(layers, clean(h.Name), h.Size), false}
}
