package store

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/nodeseal/nodeseal/internal/safefile"
)

// maxRecord bounds each file of a store that is read whole, in bytes: the inventory of
// its bundle is the largest.
const maxRecord = 64 << 20

// maxRecords bounds a list of records, in bytes: tens of thousands of layers.
const maxRecords = 32 << 20

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
