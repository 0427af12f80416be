package release

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// entry is a member of an archive: a directory if it has no opener.
type entry struct {
	name string
	mode fs.FileMode
	size int64
	open func() (io.ReadCloser, error)
}

// writeTar writes entries in their order, each of the given time and of user 0.
func writeTar(w io.Writer, when time.Time, entries []entry) error {
	out := tar.NewWriter(w)
	for _, e := range entries {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: e.name, Size: e.size, Mode: int64(e.mode), ModTime: when.UTC(), Format: tar.FormatUSTAR,
		}
		if e.open == nil {
			header.Typeflag = tar.TypeDir
		}
		if err := out.WriteHeader(header); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		if e.open == nil {
			continue
		}
		if err := copyEntry(out, e); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return out.Close()
}

// copyEntry writes what a member holds.
func copyEntry(out io.Writer, e entry) error {
	in, err := e.open()
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(out, in)
	return err
}

// fileEntry is a member that holds what a file does.
func fileEntry(name, path string, mode fs.FileMode) (entry, error) {
	info, err := os.Stat(path)
	if err != nil {
		return entry{}, err
	}
	return entry{name: name, mode: mode, size: info.Size(), open: func() (io.ReadCloser, error) { return os.Open(path) }}, nil
}

// tree lists the files below a directory, in the order of their names, with modes of their
// own: 0755 for directories, 0644 for files.
func tree(dir, prefix string) ([]entry, error) {
	var out []entry
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(filepath.Join(prefix, rel))
		if d.IsDir() {
			if name != "." {
				out = append(out, entry{name: name + "/", mode: 0o755})
			}
			return nil
		}
		e, err := fileEntry(name, path, 0o644)
		out = append(out, e)
		return err
	})
	return out, err
}
