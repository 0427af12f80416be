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

	"github.com/nodeseal/nodeseal/bundle/delta"
)

// ErrChanged is wrapped where an old file is not what Scan saw.
var ErrChanged = errors.New("the file has changed")

// Write tells the plain tar in r, which has size bytes and is the one that was planned, by the
// files of old. The same input gives the same bytes. used are those of p.From that it needed,
// sorted: if they are fewer, Write with p.From = used writes a delta that takes these only. Errors
// of w, of r and of old pass.
func (p *Plan) Write(ctx context.Context, w io.Writer, r io.Reader, size int64, old delta.Old) (used []digest.Digest, err error) {
	dw, err := delta.NewWriter(w, size, p.From)
	if err != nil {
		return nil, err
	}
	// What the tar reader takes is written as it is, but for the content of files.
	e := &encoder{ctx: ctx, out: dw, plan: p, old: old, tee: &tee{r: r, w: dw}, used: make(map[digest.Digest]bool)}
	members := tar.NewReader(e.tee)
	for choices := p.choices; ; {
		h, err := members.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading layer: %w", err)
		}
		if !told(h) {
			continue
		}
		if len(choices) == 0 {
			return nil, fmt.Errorf("%s: it is not the layer that was planned", h.Name)
		}
		if err := e.file(h, members, choices[0]); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		choices = choices[1:]
	}
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{e.tee}); err != nil {
		return nil, fmt.Errorf("reading layer: %w", err)
	}
	return slices.Sorted(maps.Keys(e.used)), dw.Close()
}

// tee writes what is read, unless it is silent.
type tee struct {
	r      io.Reader
	w      io.Writer
	silent bool
}

// Read implements io.Reader.
func (t *tee) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if n > 0 && !t.silent {
		if _, werr := t.w.Write(p[:n]); werr != nil {
			return n, werr
		}
	}
	return n, err
}

type encoder struct {
	ctx  context.Context //nolint:containedctx // of one call of Write
	out  *delta.Writer
	tee  *tee
	plan *Plan
	old  delta.Old
	used map[digest.Digest]bool
}

// file tells one file.
func (e *encoder) file(h *tar.Header, r io.Reader, c choice) error {
	if err := e.ctx.Err(); err != nil {
		return context.Cause(e.ctx)
	}
	if c.old == nil {
		_, err := io.Copy(io.Discard, r) // the tee writes it
		return err
	}
	e.tee.silent = true
	defer func() { e.tee.silent = false }()
	f := c.old
	if c.equal {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
		return e.out.Equal(e.ref(f))
	}
	now := make([]byte, h.Size)
	if _, err := io.ReadFull(r, now); err != nil {
		return err
	}
	old, err := e.read(f)
	if err != nil {
		return err
	}
	ops, err := Compare(e.ctx, old, now)
	if err != nil {
		return err
	}
	if !worth(ops, h.Size) {
		_, err := e.out.Write(now)
		return err
	}
	return e.out.Changed(e.ref(f), delta.Change{Old: old, Now: now, Ops: ops, OldRanges: Ranges(old), NowRanges: Ranges(now)})
}

// read returns the content of an old file.
func (e *encoder) read(f *OldFile) ([]byte, error) {
	r, err := e.old.OpenOld(f.Layer, delta.File{Path: f.Path, Offset: f.Offset, Size: f.Size})
	if err != nil {
		return nil, &delta.OldError{Layer: f.Layer, Path: f.Path, Err: err}
	}
	data := make([]byte, f.Size)
	_, err = io.ReadFull(io.NewSectionReader(r, 0, f.Size), data)
	if err = errors.Join(err, r.Close()); err == nil && sha256.Sum256(data) != f.SHA256 {
		err = ErrChanged
	}
	if err != nil {
		return nil, &delta.OldError{Layer: f.Layer, Path: f.Path, Err: err}
	}
	return data, nil
}

// worth reports whether enough of a file resembles the old one.
func worth(ops []delta.Op, size int64) bool {
	var copied int64
	for _, o := range ops {
		copied += o.Copy
	}
	return copied >= size/16
}

func (e *encoder) ref(f *OldFile) delta.File {
	e.used[f.Layer] = true
	i, _ := slices.BinarySearch(e.plan.From, f.Layer)
	return delta.File{Layer: i, Path: f.Path, Offset: f.Offset, Size: f.Size}
}
