package nodestore

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/inroot"
	"github.com/nodeseal/nodeseal/internal/store"
)

// HasFiles reports whether the store has the layer with the diff ID unpacked.
func (s *Store) HasFiles(diffID digest.Digest) bool {
	for _, id := range s.layers[diffID] {
		if dir, err := s.layerDir(id); err == nil && has(dir) {
			return true
		}
	}
	return false
}

// OpenFile opens a regular file of the layer with the diff ID, as it lies unpacked in the store.
// It is not verified. path is relative; links on the way are followed inside the layer. The
// caller closes the file.
func (s *Store) OpenFile(diffID digest.Digest, path string) (*os.File, error) {
	err := fmt.Errorf("layer %s: %w", diffID, store.ErrUnknown)
	for _, id := range s.layers[diffID] {
		var f *os.File
		if f, err = s.openFile(id, path); err == nil {
			return f, nil
		}
	}
	return nil, err
}

func (s *Store) openFile(id, path string) (*os.File, error) {
	dir, err := s.layerDir(id)
	if err != nil {
		return nil, err
	}
	root, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	fd, err := inroot.Open(int(root.Fd()), path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: fs.ErrInvalid}
	}
	if err != nil {
		_ = f.Close() // it was only read
		return nil, err
	}
	return f, nil
}
