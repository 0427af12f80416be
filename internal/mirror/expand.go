package mirror

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/mirror/workdir"
)

// tableMaker makes the file table of the plain tar that is written to it, and holds
// its members to the rules for layers, in a goroutine of its own.
type tableMaker struct {
	*io.PipeWriter
	out    *workdir.FramesFile
	result chan tableResult
}

type tableResult struct {
	rec *workdir.Table
	err error
}

func startTable(ctx context.Context, work *workdir.Dir, enc *seekable.Encoder, blob digest.Digest) *tableMaker {
	out := work.CreateTable(ctx, enc, blob)
	r, w := io.Pipe()
	t := &tableMaker{PipeWriter: w, out: out, result: make(chan tableResult, 1)}
	go func() {
		rec, err := makeTable(ctx, bufio.NewReaderSize(r, copyBuffer), out)
		r.CloseWithError(err)
		t.result <- tableResult{rec, err}
	}()
	return t
}

func makeTable(ctx context.Context, layer io.Reader, out *workdir.FramesFile) (*workdir.Table, error) {
	sum := digest.SHA256.Digester()
	table := filetable.NewWriter(io.MultiWriter(sum.Hash(), out))
	work := layerrules.Begin(ctx)
	defer work.Done()
	var rules layerrules.Checker
	rules.Bound(work, 0)
	if err := filetable.Tabulate(layer, table, &rules); err != nil {
		return nil, err
	}
	if err := table.Close(); err != nil {
		return nil, fmt.Errorf("file table: %w", err)
	}
	rec := &workdir.Table{Digest: sum.Digest(), Size: out.Written(), Rules: layerrules.Version}
	_, rec.Lost = rules.Kept()
	frames, err := out.End(rec.Size)
	rec.Frames = frames
	return rec, err
}

// finish ends the tar, with err where it ended early, and returns the record.
// It must be called once. The file is the caller's then.
func (t *tableMaker) finish(err error) (*workdir.Table, error) {
	t.PipeWriter.CloseWithError(err)
	res := <-t.result
	if err != nil && errors.Is(res.err, err) {
		return nil, nil
	}
	return res.rec, res.err
}
