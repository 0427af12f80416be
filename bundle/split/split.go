// Package split writes bundles in parts and reads them as one.
package split

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

const (
	// FormatV1 is the value of List.Format that this package reads and writes.
	FormatV1 = "nodeseal parts v1"
	// Suffix ends the name of the list of a bundle's parts.
	Suffix = ".parts.json"
	// MaxParts is how many parts a bundle can have: their numbers have three digits.
	MaxParts = 1000
)

// maxPartsList bounds the list of parts, in bytes.
const maxPartsList = 1 << 20

// List is NAME.tar.zst.parts.json: the parts of a bundle that was split. The
// bundle is there when its list is.
type List struct {
	Format string `json:"format"`
	// Name is the bundle's file name, Size and SHA256 are those of all parts
	// together.
	Name   string        `json:"name"`
	Size   int64         `json:"size"`
	SHA256 digest.Digest `json:"sha256"`
	Parts  []Part        `json:"parts"`
}

// Part is one part: Name.000, Name.001, and so on, in the same directory.
type Part struct {
	Name   string        `json:"name"`
	Size   int64         `json:"size"`
	SHA256 digest.Digest `json:"sha256"`
}

// Error says which part of a bundle is missing or damaged. It wraps bundle.ErrDamaged.
type Error struct {
	// Part is the file's name.
	Part string
	Err  error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("part %s: %v", e.Part, e.Err) }

// Unwrap returns bundle.ErrDamaged and the cause.
func (e *Error) Unwrap() []error { return []error{bundle.ErrDamaged, e.Err} }

// PartName is the name of part i of the bundle NAME.tar.zst.
func PartName(name string, i int) string { return fmt.Sprintf("%s.%03d", name, i) }

// Parse reads a list of parts from at most 1 MiB of r and checks that its
// numbers agree. Errors wrap bundle.ErrInventory, but for those of r.
func Parse(r io.Reader) (*List, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxPartsList+1))
	if err != nil {
		return nil, fmt.Errorf("reading list of parts: %w", err)
	}
	var p List
	switch err := jsonbound.Unmarshal(data, &p); {
	case len(data) > maxPartsList:
		return nil, fmt.Errorf("%w: list of parts of more than %d bytes", bundle.ErrInventory, maxPartsList)
	case err != nil:
		return nil, fmt.Errorf("%w: list of parts: %w", bundle.ErrInventory, err)
	}
	if err := p.validate(); err != nil {
		return nil, err
	}
	return &p, nil
}

// validate checks that the numbers of the list agree, and that its names are those
// of files beside it. Errors wrap bundle.ErrInventory.
func (p *List) validate() error {
	switch {
	case p.Format != FormatV1:
		return fmt.Errorf("%w: list of parts: format %q, want %q", bundle.ErrInventory, p.Format, FormatV1)
	case len(p.Parts) == 0 || len(p.Parts) > MaxParts || !isFileName(p.Name):
		return fmt.Errorf("%w: list of parts: %d parts of %q", bundle.ErrInventory, len(p.Parts), p.Name)
	}
	rest := p.Size
	for i, part := range p.Parts {
		if part.Name != PartName(p.Name, i) || part.Size <= 0 || part.Size > rest || bundle.CheckDigest(part.SHA256) != nil {
			return fmt.Errorf("%w: list of parts: entry %d, %q of %d bytes", bundle.ErrInventory, i, part.Name, part.Size)
		}
		rest -= part.Size
	}
	if rest != 0 || bundle.CheckDigest(p.SHA256) != nil {
		return fmt.Errorf("%w: list of parts: the parts are not the bundle's %d bytes", bundle.ErrInventory, p.Size)
	}
	return nil
}

// isFileName reports whether name is that of a file in a directory, without a path.
func isFileName(name string) bool {
	return name == filepath.Base(name) && name != "." && name != ".." && name != string(filepath.Separator)
}

// partNumber ends the name of a part.
var partNumber = regexp.MustCompile(`\.[0-9]{3}$`)

// Find returns the list of the parts of the bundle at path, where there is
// no such file but a list, or where path is a part's; else nil. path without a
// number is returned too.
func Find(path string) (*List, string, error) {
	base := partNumber.ReplaceAllString(path, "")
	if base == path {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return nil, path, nil
		}
	}
	f, err := safefile.Open(base + Suffix)
	switch {
	case errors.Is(err, fs.ErrNotExist) && base == path:
		return nil, path, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, path, &Error{Part: filepath.Base(path), Err: fmt.Errorf("it is a part, and %s is missing", filepath.Base(base)+Suffix)}
	case err != nil:
		return nil, path, fmt.Errorf("opening bundle: %w", err)
	}
	defer f.Close()
	p, err := Parse(f)
	if err != nil {
		return nil, path, fmt.Errorf("%s: %w", base+Suffix, err)
	}
	if p.Name != filepath.Base(base) {
		// The parts were renamed together with their list.
		for i := range p.Parts {
			p.Parts[i].Name = PartName(filepath.Base(base), i)
		}
		p.Name = filepath.Base(base)
	}
	return p, base, nil
}

// File reads the parts of a bundle as one. It may be read by many goroutines.
type File struct {
	files []*os.File
	ends  []int64 // of each part in the whole
}

// Open opens the parts beside the list. All that are missing or of another
// size are named, each as an *Error. Parts are regular files and no links, else the
// error wraps safefile.ErrNotRegular. A list that Parse would refuse is refused.
func Open(p *List, base string) (*File, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	out := &File{}
	var errs []error
	var end int64
	for _, part := range p.Parts {
		f, err := openPart(filepath.Join(filepath.Dir(base), part.Name), part)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		end += part.Size
		out.files = append(out.files, f)
		out.ends = append(out.ends, end)
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, out.Close())...)
	}
	return out, nil
}

func openPart(path string, part Part) (*os.File, error) {
	f, err := safefile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Part: part.Name, Err: errors.New("it is missing")}
	}
	if err != nil {
		return nil, fmt.Errorf("opening bundle: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() != part.Size {
		err = &Error{Part: part.Name, Err: fmt.Errorf("%d bytes, must be %d", info.Size(), part.Size)}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadAt implements io.ReaderAt.
func (p *File) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("reading bundle: at byte %d", off)
	}
	total := 0
	i := sort.Search(len(p.ends), func(i int) bool { return p.ends[i] > off })
	for ; i < len(p.files) && len(b) > 0; i++ {
		start := int64(0)
		if i > 0 {
			start = p.ends[i-1]
		}
		n := int(min(int64(len(b)), p.ends[i]-off))
		m, err := p.files[i].ReadAt(b[:n], off-start)
		total += m
		if m < n {
			return total, err
		}
		b, off = b[n:], off+int64(n)
	}
	if len(b) > 0 {
		return total, io.EOF
	}
	return total, nil
}

// Holding returns the names of the parts that hold the n bytes from off on.
func (p *File) Holding(off, n int64) (names []string) {
	for i, end := range p.ends {
		if off < end && (i == 0 || off+n > p.ends[i-1]) {
			names = append(names, filepath.Base(p.files[i].Name()))
		}
	}
	return names
}

// Close implements io.Closer.
func (p *File) Close() error {
	var errs []error
	for _, f := range p.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Damaged reads every part of the bundle at path and returns those that
// are missing or not what the list says; none where the bundle was not split.
// The error is of the disk, of ctx, or about the list.
func Damaged(ctx context.Context, path string) ([]*Error, error) {
	p, base, err := Find(path)
	if p == nil || err != nil {
		return nil, err
	}
	var damaged []*Error
	for _, part := range p.Parts {
		err := checkPart(ctx, filepath.Join(filepath.Dir(base), part.Name), part)
		var bad *Error
		switch {
		case errors.As(err, &bad):
			damaged = append(damaged, bad)
		case err != nil:
			return nil, err
		}
	}
	return damaged, nil
}

func checkPart(ctx context.Context, path string, part Part) error {
	f, err := openPart(path, part)
	if err != nil {
		return err
	}
	defer f.Close()
	sum, buf := sha256.New(), make([]byte, 1<<20)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := f.Read(buf)
		sum.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading bundle: %w", err)
		}
	}
	if got := digest.NewDigest(digest.SHA256, sum); got != part.SHA256 {
		return &Error{Part: part.Name, Err: fmt.Errorf("its bytes have %s, the list says %s", got, part.SHA256)}
	}
	return nil
}

// marshal returns the list as it is written.
func (p *List) marshal() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", " ")
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("encoding list of parts: %w", err)
	}
	return out.Bytes(), nil
}

// isPartOf reports whether name is that of a part of the bundle.
func isPartOf(bundle, name string) bool {
	return strings.HasPrefix(name, bundle) && partNumber.MatchString(name) && len(name) == len(bundle)+4
}
