package mirror

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/mirror/workdir"
)

// maxWindow bounds the memory that decoding one zstd layer takes, in bytes.
const maxWindow = 32 << 20

// newDecompressor returns the plain bytes of a layer. What it is compressed
// with is read from the bytes, as containers/image does: media types lie.
func newDecompressor(r io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(r, copyBuffer)
	magic, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return z, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}), len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(in), nil
}

// tableMaker makes the file table of the plain tar that is written to it, in a
// goroutine of its own.
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
		rec, err := makeTable(bufio.NewReaderSize(r, copyBuffer), out)
		r.CloseWithError(err)
		t.result <- tableResult{rec, err}
	}()
	return t
}

func makeTable(layer io.Reader, out *workdir.FramesFile) (*workdir.Table, error) {
	sum := digest.SHA256.Digester()
	table := filetable.NewWriter(io.MultiWriter(sum.Hash(), out))
	if err := filetable.Tabulate(layer, table); err != nil {
		return nil, err
	}
	if err := table.Close(); err != nil {
		return nil, fmt.Errorf("file table: %w", err)
	}
	rec := &workdir.Table{Digest: sum.Digest(), Size: out.Written()}
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
