package nodestore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/vbatts/tar-split/tar/asm"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/inroot"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/tarsplit"
)

// readBuffer is the length of the buffer before tar-split's stream, which comes
// in small pieces through a pipe, in bytes.
const readBuffer = 1 << 20

// plainLayer opens the tar of layer id, and returns false where the store has
// not kept what it takes to put it together (a layer that was pulled in part).
func (s *Store) plainLayer(ctx context.Context, id string) (io.ReadCloser, bool, error) {
	dir, err := s.layerDir(id)
	if err != nil {
		return nil, false, err
	}
	split, err := safefile.Open(filepath.Join(s.Dir, store.LayersDir, id+".tar-split.gz"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("layer %s: %w", id, err)
	}
	zr, err := gzip.NewReader(bufio.NewReader(split))
	if err != nil {
		split.Close()
		return nil, false, fmt.Errorf("layer %s: tar-split: %w", id, err)
	}
	root, err := os.Open(dir)
	if err != nil {
		split.Close()
		return nil, false, fmt.Errorf("layer %s: %w", id, err)
	}
	files := layerFiles{ctx: ctx, root: root}
	tar := asm.NewOutputTarStream(files, tarsplit.NewReader(tarsplit.Bound(ctx, zr, s.diffSize(id))))
	return &layer{Reader: bufio.NewReaderSize(tar, readBuffer), tar: tar, files: []io.Closer{zr, split, root}}, true, nil
}

// layer is the tar of a layer while it is read.
type layer struct {
	io.Reader
	tar   io.Closer
	files []io.Closer
}

// Close ends the stream, also in its middle.
func (l *layer) Close() error {
	err := l.tar.Close()
	for _, f := range l.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// layerFiles opens the files of an unpacked layer.
type layerFiles struct {
	ctx  context.Context //nolint:containedctx // FileGetter has no place for it, and a stream is one call
	root *os.File
}

// Get implements storage.FileGetter. Links on the way are followed inside the
// layer only, absolute ones from its root, as they were when it was unpacked.
func (f layerFiles) Get(name string) (io.ReadCloser, error) {
	if err := f.ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := inroot.Open(int(f.root.Fd()), strings.TrimLeft(name, "/"), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// diffSize returns how long the tar of layer id is, as its record says; 0 where no
// record does.
func (s *Store) diffSize(id string) int64 {
	for i := range s.store.Layers {
		if s.store.Layers[i].ID == id {
			return s.store.Layers[i].UncompressedSize
		}
	}
	return 0
}
