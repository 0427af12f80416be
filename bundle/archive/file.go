package archive

import (
	"context"
	"fmt"
	"io"

	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

// File is a bundle in a file.
type File struct {
	*Reader
	bytes ReadAtCloser
}

// ReadAtCloser is the bytes of a bundle.
type ReadAtCloser interface {
	io.ReaderAt
	io.Closer
}

// OpenFile opens the bundle at path: a file, or one in parts (split.Find), named
// without a number or by any part. All are regular files: nothing follows a link,
// or waits for a pipe. The errors are those of OpenBytes, or an *OpenError with one of
// NewReader. The caller closes it.
func OpenFile(ctx context.Context, path string, opts ...Option) (*File, error) {
	f, size, err := OpenBytes(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(ctx, f, size, opts...)
	if err != nil {
		f.Close()
		return nil, &OpenError{Path: path, Err: fmt.Errorf("%s: %w", path, err)}
	}
	return &File{Reader: r, bytes: f}, nil
}

// OpenError reports that what is at Path could not be opened as a bundle: it may be
// something else. Err says what the path is.
type OpenError struct {
	Path string
	Err  error
}

// Error implements error.
func (e *OpenError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *OpenError) Unwrap() error { return e.Err }

// Close closes the file.
func (f *File) Close() error { return f.bytes.Close() }

// OpenBytes opens the bytes of the bundle at path, and their number, whether
// they are whole or not: Verify takes them. Parts that are missing or of another
// size are *split.Errors; others are *OpenErrors. The caller closes them.
func OpenBytes(path string) (ReadAtCloser, int64, error) {
	parts, base, err := split.Find(path)
	if err != nil {
		return nil, 0, err
	}
	if parts != nil {
		f, err := split.Open(parts, base)
		if err != nil {
			return nil, 0, err
		}
		return f, parts.Size, nil
	}
	f, err := safefile.Open(path)
	if err != nil {
		return nil, 0, &OpenError{Path: path, Err: fmt.Errorf("opening bundle: %w", err)}
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, &OpenError{Path: path, Err: fmt.Errorf("opening bundle: %w", err)}
	}
	return f, info.Size(), nil
}
