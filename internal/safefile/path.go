package safefile

import (
	"os"
	"path/filepath"
)

// Open opens the regular file at path for reading, beneath the directory that it
// is in: links in the path of that directory are followed, the file itself is no
// link. Errors are those of Root.Open. The caller closes the file.
func Open(path string) (*os.File, error) {
	root, err := OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(filepath.Base(path))
}

// ReadFile returns the content of the regular file at path, opened as Open does.
// Errors are those of Root.ReadFile.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, limit)
}
