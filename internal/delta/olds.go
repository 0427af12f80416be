package delta

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle/delta"
)

const (
	// MaxCompared bounds the files that are compared, in bytes. Of a longer file what is equal is
	// found, not what resembles.
	MaxCompared = 192 << 20
	// MaxOlds is how many files Olds keep, which take about 200 MiB. The rest is not found.
	MaxOlds = 1 << 19

	maxNames = 64 // files of one name in a layer that are kept
)

// OldFile is a regular file of an older layer.
type OldFile struct {
	Layer  digest.Digest
	Path   string // clean and relative
	Offset int64  // of its content in the layer's plain tar
	Size   int64
	SHA256 [sha256.Size]byte
}

// Olds are the files of older layers, each layer by what a new file is looked up by. Reading them
// is safe for use by many goroutines, Add is not.
type Olds struct {
	layers map[digest.Digest]*oldLayer
	n      int // files
}

type oldLayer struct {
	files     []OldFile
	byContent map[[sha256.Size]byte]int32 // the first one
	byPath    map[string]int32
	byName    map[string][]int32
}

// Scan returns the regular files of a layer, whose plain tar r gives. What cannot be found again
// in a store for sure is left out: paths that are twice in the tar, and those that are not UTF-8.
// It returns the first most files, at most; their number bounds its memory.
func Scan(layer digest.Digest, r io.Reader, most int) ([]OldFile, error) {
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
			return nil, fmt.Errorf("layer %s: %w", layer, err)
		}
		name := clean(h.Name)
		if n, again := seen[name]; again || len(files) < most {
			seen[name] = n + 1
		}
		if len(files) == most || h.Typeflag != tar.TypeReg || h.Size == 0 || name == "" || len(name) > delta.MaxPath || !fs.ValidPath(name) {
			continue
		}
		f := OldFile{Layer: layer, Path: name, Offset: count.n, Size: h.Size}
		sum := sha256.New()
		n, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{members}, buf)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %s: %w", layer, h.Name, err)
		}
		if n != count.n-f.Offset {
			continue // a sparse file: the tar does not have its content in one piece
		}
		sum.Sum(f.SHA256[:0])
		files = append(files, f)
	}
	kept := files[:0]
	for _, f := range files {
		if seen[f.Path] == 1 {
			kept = append(kept, f)
		}
	}
	return kept, nil
}

// clean is the path of a member as a store has it.
func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// Add adds the files of one layer.
func (o *Olds) Add(layer digest.Digest, files []OldFile) {
	if o.layers == nil {
		o.layers = make(map[digest.Digest]*oldLayer)
	}
	files = files[:min(len(files), MaxOlds-o.n)]
	o.n += len(files)
	l := &oldLayer{files: files, byContent: make(map[[sha256.Size]byte]int32), byPath: make(map[string]int32), byName: make(map[string][]int32)}
	for i := range files {
		f := &files[i]
		if _, ok := l.byContent[f.SHA256]; !ok {
			l.byContent[f.SHA256] = int32(i)
		}
		l.byPath[f.Path] = int32(i)
		if name := path.Base(f.Path); len(l.byName[name]) < maxNames {
			l.byName[name] = append(l.byName[name], int32(i))
		}
	}
	o.layers[layer] = l
}

// Room is how many files Add would take.
func (o *Olds) Room() int { return MaxOlds - o.n }

// of are those of the layers that were added.
func (o *Olds) of(layers []digest.Digest) []*oldLayer {
	var out []*oldLayer
	for _, d := range layers {
		if l := o.layers[d]; l != nil {
			out = append(out, l)
		}
	}
	return out
}

// counter counts what is read, and keeps the error.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// equal returns the first file with that content, or nil.
func equal(layers []*oldLayer, sum [sha256.Size]byte) *OldFile {
	for _, l := range layers {
		if i, ok := l.byContent[sum]; ok {
			return &l.files[i]
		}
	}
	return nil
}

// resembling chooses the file that a new one is compared with: of the same path, else of the same
// name; of several the first of the nearest size. It returns nil if no file has either.
func resembling(layers []*oldLayer, name string, size int64) *OldFile {
	var best *OldFile
	nearer := func(f *OldFile) {
		if f.Size <= MaxCompared && (best == nil || abs(f.Size-size) < abs(best.Size-size)) {
			best = f
		}
	}
	for _, l := range layers {
		if i, ok := l.byPath[name]; ok {
			nearer(&l.files[i])
		}
	}
	if best != nil {
		return best
	}
	for _, l := range layers {
		for _, i := range l.byName[path.Base(name)] {
			nearer(&l.files[i])
		}
	}
	return best
}

func abs(n int64) int64 { return max(n, -n) }
