package build

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/nodeseal/nodeseal/layout"
	"golang.org/x/sync/errgroup"
)

// PhaseKeep is the phase of progress of layers that are kept as the registry has them.
const PhaseKeep = "keep"

// EachOriginal calls write for each of the originals, o.Jobs at a time. It is the phase
// PhaseKeep; there is none where there are no originals.
func EachOriginal(ctx context.Context, originals []store.Original, o store.ImportOptions, write func(context.Context, store.Original) error) error {
	if len(originals) == 0 {
		return nil
	}
	var total int64
	for _, one := range originals {
		total += one.Size
	}
	o.Progress.Begin(PhaseKeep, total, progress.Bytes)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Jobs)
	for _, one := range originals {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			o.Progress.WorkingOn(PhaseKeep, one.Digest.String(), one.Title)
			if err := write(ctx, one); err != nil {
				return &store.Error{Kind: blob.Kind(err), Op: "keeping layer", Image: one.Image, Digest: one.Digest, Err: err}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	o.Progress.End(PhaseKeep)
	return nil
}

// copyBuffer is the length of the buffer of CopyOriginal, in bytes.
const copyBuffer = 256 << 10

// CopyOriginal copies an original from src to out and proves its digest; read is called with
// what was read, and may be nil. Errors are as those of a layout.Verifier.
func CopyOriginal(ctx context.Context, out io.Writer, src io.Reader, o store.Original, read func(n int64)) error {
	in := layout.NewVerifier(src, o.Digest, o.Size)
	buf := make([]byte, copyBuffer)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := in.Read(buf)
		if n > 0 {
			if _, err := out.Write(buf[:n]); err != nil {
				return fmt.Errorf("writing it: %w", err)
			}
			if read != nil {
				read(int64(n))
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
