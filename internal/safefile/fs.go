package safefile

import (
	"io/fs"
)

// dirFS is what DirFS returns.
type dirFS struct {
	dir   string
	limit int64
}

// maxEntries is how many entries a directory of DirFS may have.
const maxEntries = 1 << 20

// DirFS returns the files beneath dir as os.DirFS does, but regular files and
// directories only: no link is followed, and fs.ReadFile gives an error that wraps
// ErrTooLarge for a file of more than limit bytes. dir need not exist; it is opened
// for each call.
func DirFS(dir string, limit int64) fs.FS { return dirFS{dir: dir, limit: limit} }

// Open implements fs.FS.
func (d dirFS) Open(name string) (fs.File, error) {
	root, err := OpenRoot(d.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return root.OpenDir(name)
	}
	return root.Open(name)
}

// Stat implements fs.StatFS: it describes a link, not what the link names.
func (d dirFS) Stat(name string) (fs.FileInfo, error) {
	root, err := OpenRoot(d.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Lstat(name)
}

// ReadFile implements fs.ReadFileFS.
func (d dirFS) ReadFile(name string) ([]byte, error) {
	root, err := OpenRoot(d.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.ReadFile(name, d.limit)
}

// ReadDir implements fs.ReadDirFS.
func (d dirFS) ReadDir(name string) ([]fs.DirEntry, error) {
	root, err := OpenRoot(d.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.ReadDir(name, maxEntries)
}
