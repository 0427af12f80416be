package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

// maxRecord bounds each file of a store that is read whole, in bytes: the inventory of
// its bundle is the largest.
const maxRecord = 64 << 20

// maxRecords bounds a list of records, in bytes: tens of thousands of layers.
const maxRecords = 32 << 20

// readBounded returns the content of a file of at most limit bytes. Of a longer one nothing is
// read: the error wraps ErrDamaged.
func readBounded(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, errors.ErrUnsupported) { // of an image that is not mounted, with a bound of its own
		return fs.ReadFile(fsys, name)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, tooLong(name, info.Size(), limit)
	}
	data := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead)) // at once: records are large
	_, err = data.ReadFrom(io.LimitReader(f, limit+1))
	if err == nil && int64(data.Len()) > limit { // it grew
		err = tooLong(name, int64(data.Len()), limit)
	}
	return data.Bytes(), err
}

func tooLong(name string, size, limit int64) error {
	return &Error{Kind: ErrDamaged, Op: "reading " + name, Err: fmt.Errorf("%w: %d bytes, at most %d are read", jsonbound.ErrBound, size, limit)}
}

// Files returns the files of the store in the directory dir, for Open and OpenStored:
// regular ones beneath it, without links, each of at most 64 MiB where it is read whole.
func Files(dir string) fs.FS { return safefile.DirFS(dir, maxRecord) }

// CheckFolders reports folders of a store that are missing or have become something
// else, as a link to a place outside of it.
func CheckFolders(fsys fs.FS) error {
	var errs []error
	for _, name := range []string{OverlayDir, LayersDir, ImagesDir} {
		info, err := fs.Stat(fsys, name)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no directory", name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
