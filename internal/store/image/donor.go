package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// donor is another store that has layers: an image, or a directory.
type donor struct {
	path   string
	file   *os.File // of an image, else nil
	size   int64
	layers map[digest.Digest]string // IDs, by diff ID
}

// openDonor opens the store path: a directory, or an image by its name or by that of
// the directory at which it belongs. An image is read as a file; it need not be mounted.
func openDonor(path string) (*donor, error) {
	d := &donor{path: path, layers: make(map[digest.Digest]string)}
	name := path
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		name += Suffix
	}
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	fsys := os.DirFS(path)
	switch {
	case err == nil:
		if fsys, err = d.useImage(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	case !errors.Is(err, fs.ErrNotExist) || name == path:
		return nil, err //nolint:wrapcheck // it names the file
	}
	st, err := store.Open(fsys)
	if err != nil {
		d.close()
		return nil, err //nolint:wrapcheck // says all
	}
	for _, l := range st.Layers {
		d.layers[l.UncompressedDigest] = l.ID
	}
	return d, nil
}

// useImage makes d a donor that is an image.
func (d *donor) useImage(f *os.File) (fs.FS, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	d.file, d.size = f, info.Size()
	r, err := erofs.NewReader(f, d.size)
	return records{r}, err //nolint:wrapcheck // says all
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

// maxRecords bounds a file of records.
const maxRecords = 1 << 30

// ReadFile implements fs.ReadFileFS.
func (r records) ReadFile(name string) ([]byte, error) {
	f, err := r.image.Lookup(name)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	if f.Mode&unix.S_IFMT != unix.S_IFREG || f.Size > maxRecords {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrInvalid)
	}
	return io.ReadAll(r.image.Open(f)) //nolint:wrapcheck // of this program
}

// openDonors opens what layers are taken from.
func (im *importer) openDonors() {
	for _, path := range im.opts.Reuse {
		d, err := openDonor(path)
		if err != nil {
			im.opts.Progress.Warn(fmt.Sprintf("nothing is taken from %s: %v", path, err))
			continue
		}
		im.donors = append(im.donors, d)
	}
}

func (im *importer) closeDonors() {
	for _, d := range im.donors {
		d.close()
	}
}

// donorOf returns a store that has the content of j, nil where none has.
func (im *importer) donorOf(j *job) *donor {
	for _, d := range im.donors {
		if !j.left && d.layers[j.layers[0].DiffID] != "" {
			return d
		}
	}
	return nil
}
