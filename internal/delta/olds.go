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
	// MaxOlds is how many files Olds keep, which take about 230 MiB. The rest is not found.
	MaxOlds = 1 << 19

	maxPaths = 4096 // files of one path that are kept
	maxNames = 64   // files of one name
)

// OldFile is a regular file of an older layer.
type OldFile struct {
	Layer  digest.Digest
	Path   string // clean and relative
	Offset int64  // of its content in the layer's plain tar
	Size   int64
	SHA256 [sha256.Size]byte
}

// Olds are the files of older layers, by what a new file is looked up by. Reading them is safe
// for use by many goroutines, Add is not.
type Olds struct {
	files     []OldFile
	byContent map[[sha256.Size]byte]int32
	byPath    map[string][]int32 // in the order of Add
	byName    map[string][]int32
}

// Scan returns the regular files of a layer, whose plain tar r gives. What cannot be found again
// in a store for sure is left out: paths that are twice in the tar, and those that are not UTF-8.
func Scan(layer digest.Digest, r io.Reader) ([]OldFile, error) {
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
		seen[name]++
		if h.Typeflag != tar.TypeReg || h.Size == 0 || name == "" || len(name) > delta.MaxPath || !fs.ValidPath(name) {
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

// Add adds the files of one layer. What is found depends on the order of the calls.
func (o *Olds) Add(files []OldFile) {
	if o.byContent == nil {
		o.byContent, o.byPath, o.byName = make(map[[sha256.Size]byte]int32), make(map[string][]int32), make(map[string][]int32)
	}
	for _, f := range files[:min(len(files), MaxOlds-len(o.files))] {
		i := int32(len(o.files))
		o.files = append(o.files, f)
		if _, ok := o.byContent[f.SHA256]; !ok {
			o.byContent[f.SHA256] = i
		}
		add(o.byPath, f.Path, i, maxPaths)
		add(o.byName, path.Base(f.Path), i, maxNames)
	}
}

// Full reports whether Add would find no room.
func (o *Olds) Full() bool { return len(o.files) == MaxOlds }

func add(m map[string][]int32, key string, i int32, most int) {
	if len(m[key]) < most {
		m[key] = append(m[key], i)
	}
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

// resembling chooses the file that a new one is compared with: of the same path in a former layer,
// else of the same path, else of the same name; of several the one of nearest size, and of these
// the first that was added. It is -1 where there is none.
func (o *Olds) resembling(name string, size int64, former map[digest.Digest]bool) int32 {
	candidates := o.byPath[name]
	if len(candidates) == 0 {
		candidates = o.byName[path.Base(name)]
	}
	best, bestFormer := int32(-1), false
	for _, i := range candidates {
		f := &o.files[i]
		if f.Size > MaxCompared {
			continue
		}
		is := former[f.Layer]
		if best < 0 || is && !bestFormer || is == bestFormer && abs(f.Size-size) < abs(o.files[best].Size-size) {
			best, bestFormer = i, is
		}
	}
	return best
}

func abs(n int64) int64 { return max(n, -n) }
