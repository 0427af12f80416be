package split

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
)

// fat32Limit is the largest file that FAT32 holds, rounded down.
const fat32Limit = 1<<32 - 64<<10

// Writer writes a bundle as parts. It is for one goroutine.
type Writer struct {
	path  string
	size  int64
	parts []*partFile
	all   hash.Hash
	total int64
}

type partFile struct {
	*atomicfile.File
	sum  hash.Hash
	size int64
}

// Create begins a bundle at path in parts of size bytes; 4 GiB stands for
// what fits on FAT32. Nothing has its final name before Commit. The caller must
// call Close, which does no harm after Commit.
func Create(path string, size int64) (*Writer, error) {
	if size < 1 {
		return nil, fmt.Errorf("parts of %d bytes", size)
	}
	if !isFileName(filepath.Base(path)) {
		return nil, fmt.Errorf("parts of %q: it names no file", path)
	}
	if size == 1<<32 {
		size = fat32Limit
	}
	return &Writer{path: path, size: size, all: sha256.New()}, nil
}

// PartSize is how long each part but the last one is, in bytes.
func (w *Writer) PartSize() int64 { return w.size }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if n := len(w.parts); n == 0 || w.parts[n-1].size == w.size {
			if err := w.next(); err != nil {
				return written, err
			}
		}
		part := w.parts[len(w.parts)-1]
		n, err := part.Write(p[:min(int64(len(p)), w.size-part.size)])
		part.sum.Write(p[:n])
		w.all.Write(p[:n])
		part.size += int64(n)
		w.total += int64(n)
		written += n
		p = p[n:]
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (w *Writer) next() error {
	if len(w.parts) == MaxParts {
		return fmt.Errorf("more than %d parts of %d bytes: make them larger", MaxParts, w.size)
	}
	f, err := atomicfile.Create(PartName(w.path, len(w.parts)), 0o644, atomicfile.WithPartialName())
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	w.parts = append(w.parts, &partFile{File: f, sum: sha256.New()})
	return nil
}

// Commit syncs the parts, gives them their names and writes the list, last.
// Parts and list of an earlier bundle of the name are gone then; they are
// removed only when all parts of this one are whole.
func (w *Writer) Commit() error {
	if err := os.Remove(w.path + Suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("bundle: %w", err)
	}
	list := List{Format: FormatV1, Name: filepath.Base(w.path), Size: w.total, SHA256: digest.NewDigest(digest.SHA256, w.all)}
	for i, part := range w.parts {
		if err := part.Commit(); err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
		list.Parts = append(list.Parts, Part{PartName(list.Name, i), part.size, digest.NewDigest(digest.SHA256, part.sum)})
	}
	if err := w.removeRest(); err != nil {
		return err
	}
	data, err := list.marshal()
	if err != nil {
		return err
	}
	if err := atomicfile.WriteBytes(w.path+Suffix, 0o644, data); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return nil
}

// removeRest removes the parts of an earlier bundle that had more.
func (w *Writer) removeRest() error {
	entries, err := os.ReadDir(filepath.Dir(w.path))
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	name := filepath.Base(w.path)
	for _, e := range entries {
		if isPartOf(name, e.Name()) && e.Name() >= PartName(name, len(w.parts)) {
			if err := os.Remove(filepath.Join(filepath.Dir(w.path), e.Name())); err != nil {
				return fmt.Errorf("bundle: %w", err)
			}
		}
	}
	return nil
}

// Close gives up what was not committed.
func (w *Writer) Close() error {
	var errs []error
	for _, part := range w.parts {
		errs = append(errs, part.Close())
	}
	return errors.Join(errs...)
}
