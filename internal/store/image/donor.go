package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// donor is another store that has layers: an image, or a directory.
type donor struct {
	path   string
	number int                      // among those that were opened
	layers map[digest.Digest]stored // by diff ID

	// Of an image:
	file   *os.File // else nil
	size   int64
	digest digest.Digest // that is recorded beside it
	proven bool          // the file has that digest
}

// stored is a layer as a donor's records have it.
type stored struct {
	id   string
	size int64 // of its plain tar
}

// donorError reports an image that is not what was recorded of it: nothing of what was
// taken from it is of use.
type donorError struct {
	donor *donor
	err   error
}

// Error implements error.
func (e *donorError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.donor.path, e.err) }

// Unwrap returns the cause.
func (e *donorError) Unwrap() error { return e.err }

// openDonor opens the store path: a directory, or an image by its name or by that of
// the directory at which it belongs. An image is read as a file; it need not be
// mounted, and is of use only with the digest that was recorded when its layers had
// been proven.
func openDonor(path string) (*donor, error) {
	d := &donor{path: path, layers: make(map[digest.Digest]stored)}
	name := path
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		name += Suffix
	}
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	fsys := store.Files(path)
	switch {
	case err == nil:
		if fsys, err = d.useImage(name, f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	case !errors.Is(err, fs.ErrNotExist) || name == path:
		return nil, err
	}
	st, err := store.Open(fsys)
	if err != nil {
		d.close()
		return nil, err
	}
	for _, l := range st.Layers {
		d.layers[l.UncompressedDigest] = stored{id: l.ID, size: l.UncompressedSize}
	}
	if d.file != nil {
		err = d.checkSplits()
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// useImage makes d a donor that is an image.
func (d *donor) useImage(name string, f *os.File) (fs.FS, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if d.digest, err = ReadDigest(name); err != nil {
		return nil, err
	}
	d.file, d.size = f, info.Size()
	r, err := erofs.NewReader(f, d.size)
	return records{r}, err
}

func (d *donor) close() {
	if d.file != nil {
		d.file.Close()
	}
}

// records is what of an image is read whole, as fs.FS.
type records struct{ image *erofs.Reader }

// Open implements fs.FS.
func (r records) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: errors.ErrUnsupported}
}

// maxRecords bounds a file of records: none is longer than an inventory.
const maxRecords = bundle.MaxInventory

// ReadFile implements fs.ReadFileFS.
func (r records) ReadFile(name string) ([]byte, error) {
	f, err := r.image.Lookup(name)
	if err != nil {
		return nil, err
	}
	if f.Mode&unix.S_IFMT != unix.S_IFREG || f.Size > maxRecords {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrInvalid)
	}
	return io.ReadAll(r.image.Open(f))
}

// prove compares the digest of an image with the recorded one, once. The error is a
// *donorError where it is another one, or where the image cannot be read.
func (d *donor) prove(ctx context.Context) error {
	if d.proven {
		return nil
	}
	got, _, err := hashOf(ctx, io.NewSectionReader(d.file, 0, d.size), nil)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && got != d.digest:
		err = fmt.Errorf("its digest is %s, recorded is %s", got, d.digest)
	}
	if err != nil {
		return &donorError{donor: d, err: err}
	}
	d.proven = true
	return nil
}
