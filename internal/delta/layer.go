package delta

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle/delta"
)

// MaxCompared bounds the files that are compared, in bytes. Of a longer file what is equal is
// found, not what resembles.
const MaxCompared = 192 << 20

// OldFile is a regular file of an older layer.
type OldFile struct {
	Layer  digest.Digest
	Path   string // clean and relative
	Offset int64  // of its content in the layer's plain tar
	Size   int64
	SHA256 [sha256.Size]byte
}

// Olds are the files of older layers, by what a new file is looked up by.
type Olds struct {
	byContent map[[sha256.Size]byte]OldFile
	byPath    map[string][]OldFile // in the order of Add
	byName    map[string][]OldFile
}

// maxSame is how many files of one path or name are kept.
const maxSame = 8

// Add adds the regular files of a layer, whose plain tar r gives. What it cannot be sure to find
// again in a store is left out: paths that are twice in the tar or that are not clean.
func (o *Olds) Add(layer digest.Digest, r io.Reader) error {
	if o.byContent == nil {
		o.byContent, o.byPath, o.byName = make(map[[sha256.Size]byte]OldFile), make(map[string][]OldFile), make(map[string][]OldFile)
	}
	count := &counter{r: r}
	members := tar.NewReader(count)
	seen := make(map[string]int)
	var files []OldFile
	buf := make([]byte, 64<<10)
	for {
		h, err := members.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("layer %s: %w", layer, err)
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		seen[name]++
		if h.Typeflag != tar.TypeReg || h.Size == 0 || name == "" || len(name) > delta.MaxPath {
			continue
		}
		f := OldFile{Layer: layer, Path: name, Offset: count.n, Size: h.Size}
		sum := sha256.New()
		n, err := io.CopyBuffer(struct{ io.Writer }{sum}, members, buf)
		if err != nil {
			return fmt.Errorf("layer %s: %s: %w", layer, h.Name, err)
		}
		if n != count.n-f.Offset {
			continue // a sparse file: the tar does not have its content in one piece
		}
		sum.Sum(f.SHA256[:0])
		files = append(files, f)
	}
	for _, f := range files {
		if seen[f.Path] > 1 {
			continue
		}
		if _, ok := o.byContent[f.SHA256]; !ok {
			o.byContent[f.SHA256] = f
		}
		add(o.byPath, f.Path, f)
		add(o.byName, path.Base(f.Path), f)
	}
	return nil
}

func add(m map[string][]OldFile, key string, f OldFile) {
	if len(m[key]) < maxSame {
		m[key] = append(m[key], f)
	}
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// base chooses the file by which a new one is told: of the same path, else of the same name; of
// several the one of nearest size, and of these the first that was added.
func (o *Olds) base(name string, size int64) (OldFile, bool) {
	candidates := o.byPath[name]
	if len(candidates) == 0 {
		candidates = o.byName[path.Base(name)]
	}
	candidates = slices.DeleteFunc(slices.Clone(candidates), func(f OldFile) bool { return f.Size > MaxCompared })
	if len(candidates) == 0 {
		return OldFile{}, false
	}
	return slices.MinFunc(candidates, func(a, b OldFile) int {
		return int(min(max(abs(a.Size-size)-abs(b.Size-size), -1), 1))
	}), true
}

func abs(n int64) int64 { return max(n, -n) }

// Content reads files of older layers.
type Content interface {
	// ReadOld returns the content of an old file.
	ReadOld(ctx context.Context, f OldFile) ([]byte, error)
}

// Write tells the plain tar in r, which has size bytes, by olds. from are the layers that olds
// have, sorted. The same input gives the same bytes. It takes twice MaxCompared, and an index of
// 64 MiB.
func Write(ctx context.Context, w io.Writer, r io.Reader, size int64, olds *Olds, content Content, from []digest.Digest) error {
	dw, err := delta.NewWriter(w, size, from)
	if err != nil {
		return err
	}
	e := &encoder{ctx: ctx, out: dw, olds: olds, content: content, from: from}
	// What the tar reader takes is written as it is, but for the content of files.
	e.tee = &tee{r: r, w: dw}
	members := tar.NewReader(e.tee)
	for {
		h, err := members.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading layer: %w", err)
		}
		if h.Typeflag != tar.TypeReg || h.Size == 0 || h.Size > MaxCompared {
			continue // the tee writes it
		}
		if err := e.file(h, members); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{e.tee}); err != nil {
		return fmt.Errorf("reading layer: %w", err)
	}
	return dw.Close()
}

// tee writes what is read, unless it is silent.
type tee struct {
	r      io.Reader
	w      io.Writer
	silent bool
	read   int64
}

// Read implements io.Reader.
func (t *tee) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.read += int64(n)
	if n > 0 && !t.silent {
		if _, werr := t.w.Write(p[:n]); werr != nil {
			return n, werr
		}
	}
	return n, err
}

type encoder struct {
	ctx     context.Context //nolint:containedctx // of one call of Write
	out     *delta.Writer
	tee     *tee
	olds    *Olds
	content Content
	from    []digest.Digest
}

// file tells one file.
func (e *encoder) file(h *tar.Header, r io.Reader) error {
	if err := e.ctx.Err(); err != nil {
		return context.Cause(e.ctx)
	}
	var now bytes.Buffer
	now.Grow(int(h.Size))
	e.tee.silent = true
	begin := e.tee.read
	n, err := now.ReadFrom(r)
	e.tee.silent = false
	if err != nil {
		return err
	}
	if e.tee.read-begin != n {
		return errSparse
	}
	if f, ok := e.olds.byContent[sha256.Sum256(now.Bytes())]; ok {
		return e.out.Equal(e.ref(f))
	}
	name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	f, ok := e.olds.base(name, h.Size)
	if !ok {
		_, err := e.out.Write(now.Bytes())
		return err
	}
	old, err := e.content.ReadOld(e.ctx, f)
	if err != nil {
		return err
	}
	ops := Compare(old, now.Bytes())
	if !worth(ops, h.Size) {
		_, err := e.out.Write(now.Bytes())
		return err
	}
	return e.out.Changed(e.ref(f), delta.Change{
		Old: old, Now: now.Bytes(), Ops: ops, OldRanges: Ranges(old), NowRanges: Ranges(now.Bytes()),
	})
}

// errSparse is returned for a layer with a sparse file, whose content the tar does not have in one
// piece: such a layer is held whole.
var errSparse = errors.New("a sparse file: the layer cannot be told by its files")

// worth reports whether enough of a file resembles the old one.
func worth(ops []delta.Op, size int64) bool {
	var copied int64
	for _, o := range ops {
		copied += o.Copy
	}
	return copied >= size/16
}

func (e *encoder) ref(f OldFile) delta.File {
	i, _ := slices.BinarySearch(e.from, f.Layer)
	return delta.File{Layer: i, Path: f.Path, Offset: f.Offset, Size: f.Size}
}
