package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/compression"
	"github.com/nodeseal/nodeseal/internal/mirror/workdir"
	"github.com/nodeseal/nodeseal/layout"
)

// errDiffID is wrapped when a layer expands to something else than the
// configuration says.
var errDiffID = errors.New("diff ID does not match the configuration's")

// partialWorth is the size from which the compressed bytes of a layer are kept
// while they come, so that an interrupted run can go on; what is smaller is
// fetched again.
const partialWorth = 1 << 20

// made is a layer that is written, but neither synced nor named.
type made struct {
	record *workdir.Record
	// frames and table are those of an expanded layer; one that is kept has a table only.
	frames, table *workdir.FramesFile
	// proven says that the layer was expanded, and has its diff ID.
	proven bool
}

// abort removes the files of frames that were not committed.
func (m *made) abort() {
	if m == nil {
		return
	}
	for _, f := range []*workdir.FramesFile{m.frames, m.table} {
		if f != nil {
			f.Abort()
		}
	}
}

// commit makes the layer known, with its frames synced.
func (m *made) commit(work *workdir.Dir, compressed digest.Digest) error {
	switch {
	case m.table == nil:
		return work.CommitCompressed(compressed, m.record)
	case m.frames == nil:
		return work.CommitKept(compressed, m.record, m.table)
	}
	return work.Commit(compressed, m.record, m.frames, m.table)
}

// fetchLayer fetches a layer in one pass: its compressed bytes are kept as far
// as they come, hashed, expanded, hashed, encoded and tabulated; of an original
// layer they are all that is wanted. It goes on
// from what an earlier run kept; where that turns out to be wrong, it starts
// anew.
func (r *run) fetchLayer(ctx context.Context, ref string, j *job) (*made, error) {
	in, err := r.openCompressed(ctx, ref, j)
	if err != nil {
		return nil, err
	}
	verified := layout.NewVerifier(in, j.layer.Digest, j.layer.Size)
	var m *made
	switch r.formOf(j.layer) {
	case bundle.Original:
		m, err = keepLayer(j, in, verified)
	case workdir.Kept:
		m, err = r.keepTabulated(ctx, j, in, verified)
	default:
		m, err = r.makeLayer(ctx, j, verified, false)
	}
	resumed := in.resumed
	if cerr := in.Close(); err == nil && cerr != nil {
		m.abort()
		m, err = nil, cerr
	}
	if isWrong(err) || errors.Is(err, errDiffID) {
		r.work.DropCompressed(j.layer.Digest)
		if resumed > 0 && isWrong(err) {
			r.o.Log.Info("kept bytes of a layer were wrong, starting anew", "layer", j.layer.Digest, "bytes", resumed)
			return r.fetchLayer(ctx, ref, j)
		}
	}
	return m, err
}

// plainLayer takes the layer from a source that has it expanded; nil where
// there is none.
func (r *run) plainLayer(ctx context.Context, j *job) (*made, error) {
	src, ok := r.src.(PlainSource)
	if !ok || r.formOf(j.layer) != bundle.Expanded {
		return nil, nil
	}
	in, ok, err := src.PlainLayer(ctx, j.layer.DiffID)
	if err != nil || !ok {
		return nil, err
	}
	m, err := r.makeLayer(ctx, j, in, true)
	if cerr := in.Close(); err == nil && cerr != nil {
		m.abort()
		m, err = nil, cerr
	}
	if err == nil {
		r.reached(j, j.layer.Size)
	}
	return m, err
}

// keepLayer reads a layer's compressed bytes, verified, to their end; that they
// are kept while they come is all that an original layer needs.
func keepLayer(j *job, in *compressedReader, verified io.Reader) (*made, error) {
	m := &made{record: &workdir.Record{Blob: j.blob}}
	var small bytes.Buffer
	out := io.Discard
	if in.kept == nil {
		out = &small
	}
	var err error
	m.record.Size, err = io.CopyBuffer(onlyWriter{out}, onlyReader{verified}, make([]byte, min(copyBuffer, j.layer.Size+1)))
	if err != nil {
		return nil, err
	}
	if in.kept == nil {
		m.record.Inline = workdir.NewInline(small.Bytes())
	}
	return m, nil
}

// keepTabulated keeps a layer's compressed bytes as keepLayer does, and makes the file table
// of the tar in them, which it holds to the diff ID.
func (r *run) keepTabulated(ctx context.Context, j *job, in *compressedReader, verified io.Reader) (_ *made, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := &made{record: &workdir.Record{Encoder: r.enc.Name(), Compressed: true, Blob: j.blob, DiffID: j.layer.DiffID}, proven: true}
	defer func() {
		if err != nil {
			m.abort()
		}
	}()
	var small bytes.Buffer
	if in.kept == nil {
		verified = io.TeeReader(verified, &small)
	}
	if err := r.expand(ctx, j, verified, false, m); err != nil {
		return nil, blame(verified, err)
	}
	m.record.DiffSize, m.record.Size = m.record.Size, j.layer.Size
	if in.kept == nil {
		m.record.Inline = workdir.NewInline(small.Bytes())
	}
	return m, nil
}

// makeLayer makes the frames of a layer from its verified compressed bytes, or
// from its plain tar, which is then held to the diff ID. The caller commits
// what it returns, or aborts it.
func (r *run) makeLayer(ctx context.Context, j *job, in io.Reader, plain bool) (_ *made, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := &made{
		record: &workdir.Record{Encoder: r.enc.Name(), Blob: j.blob},
		frames: r.work.CreateFrames(ctx, r.enc, j.blob), proven: true,
	}
	defer func() {
		if err != nil {
			m.abort()
		}
	}()
	if err := r.expand(ctx, j, in, plain, m); err != nil {
		return nil, blame(in, err)
	}
	m.record.Frames, err = m.frames.End(m.record.Size)
	return m, err
}

// blame returns why a layer failed with err: wrong bytes of the source show
// first as a bad gzip or tar stream, and only at their end as another digest.
func blame(in io.Reader, err error) error {
	if _, readErr := io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{in}, make([]byte, copyBuffer)); isWrong(readErr) {
		return readErr
	}
	return err
}

// copyBuffer is the length of the buffers between the steps of a layer, in bytes.
const copyBuffer = 256 << 10

// expand writes the plain tar of a layer to m's frames, if m has some, holds it to the
// diff ID and adds its file table to m.
func (r *run) expand(ctx context.Context, j *job, in io.Reader, plain bool, m *made) error {
	tar := in
	if !plain {
		d, err := compression.NewReader(ctx, in)
		if err != nil {
			return err
		}
		defer d.Close() //nolint:errcheck // it only gives memory back
		tar = d
	}
	table := startTable(ctx, r.work, r.enc, j.blob)
	m.table = table.out
	sum := digest.SHA256.Digester()
	out := io.MultiWriter(sum.Hash(), table)
	if m.frames != nil {
		out = io.MultiWriter(sum.Hash(), m.frames, table)
	}
	var err error
	m.record.Size, err = io.CopyBuffer(out, onlyReader{tar}, make([]byte, copyBuffer))
	rec, tableErr := table.finish(err)
	m.record.Table = rec
	if err == nil && !plain {
		// What may follow the compressed tar counts for the compressed digest.
		_, err = io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{in}, make([]byte, copyBuffer))
	}
	switch {
	case isWrong(err):
		return err // the registry's bytes are at fault, nothing else counts
	case tableErr != nil:
		return tableErr
	case err != nil:
		return fmt.Errorf("expanding: %w", err)
	case sum.Digest() != j.layer.DiffID:
		return wrongDiffID(sum.Digest(), j.layer)
	}
	return nil
}

// compressedReader reads a layer's compressed bytes: first those that an
// earlier run kept, then the source's, which it keeps.
type compressedReader struct {
	io.Reader
	resumed int64
	body    io.ReadCloser
	kept    *os.File // nil where they are not kept
}

// openCompressed opens a layer at the source.
func (r *run) openCompressed(ctx context.Context, ref string, j *job) (*compressedReader, error) {
	c, l := &compressedReader{}, j.layer
	worth := int64(partialWorth)
	if r.formOf(l) != bundle.Expanded {
		worth = workdir.InlineMost + 1 // the file is what is made
	}
	if l.Size >= worth || r.work.Kept(l.Digest) > 0 {
		var err error
		if c.kept, c.resumed, err = r.work.OpenCompressed(l.Digest, l.Size); err != nil {
			return nil, err
		}
	}
	body, err := r.openBlob(ctx, ref, j, c.resumed)
	if err != nil {
		if c.kept != nil {
			c.kept.Close()
		}
		return nil, err
	}
	c.body = body
	r.fetched.reused.Add(c.resumed)
	fresh := io.Reader(&countingReader{r: body, count: func(n int64) { r.fetched.downloaded.Add(n) }})
	if c.kept != nil {
		fresh = io.MultiReader(io.NewSectionReader(c.kept, 0, c.resumed), io.TeeReader(fresh, io.NewOffsetWriter(c.kept, c.resumed)))
	}
	var position int64
	c.Reader = &countingReader{r: fresh, count: func(n int64) {
		position += n
		r.reached(j, position)
	}}
	return c, nil
}

// Close closes the source's body and the kept bytes, which stay.
func (c *compressedReader) Close() error {
	err := c.body.Close()
	if c.kept != nil {
		err = errors.Join(err, c.kept.Close())
	}
	return err
}

// countingReader tells how many bytes come.
type countingReader struct {
	r     io.Reader
	count func(n int64)
}

// Read implements io.Reader.
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.count(int64(n))
	return n, err
}

// onlyWriter and onlyReader hide other methods, so that io.CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }

type onlyReader struct{ io.Reader }
