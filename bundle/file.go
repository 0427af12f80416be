package bundle

import (
	"fmt"
	"os"
)

// File is a bundle in a file.
type File struct {
	*Reader
	file *os.File
}

// OpenFile opens the bundle at path. The caller closes it.
func OpenFile(path string) (*File, error) {
	f, size, err := openSized(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f, size)
	if err != nil {
		f.Close() //nolint:errcheck,gosec // read only
		return nil, fmt.Errorf("bundle %s: %w", path, err)
	}
	return &File{Reader: r, file: f}, nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() } //nolint:wrapcheck // names the file

func openSized(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("opening bundle: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		f.Close() //nolint:errcheck,gosec // read only
		return nil, 0, fmt.Errorf("opening bundle: %w", err)
	}
	return f, info.Size(), nil
}
