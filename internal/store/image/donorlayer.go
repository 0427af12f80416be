package image

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"
)

// donorLayer is the plain tar of a layer, put together from the files and the
// tar-split of a donor. It is an io.Reader for one goroutine; nothing of it is proven.
type donorLayer struct {
	image   *erofs.Reader // of a donor that is an image
	root    *os.Root      // of one that is a directory
	diff    string
	split   *os.File // of a directory
	entries storage.Unpacker

	part    io.Reader // of the tar
	content *os.File  // that part reads, of a directory

	mu    sync.Mutex
	ahead []donorFile // contents that were read, until next asks for them
}

// donorFile is a content of the tar, and where it is in the donor's image.
type donorFile struct {
	name string // as the tar has it
	erofs.File
}

// openLayer opens what the donor has of the layer with a diff ID.
func (d *donor) openLayer(diffID digest.Digest) (*donorLayer, error) {
	id := d.layers[diffID]
	l := &donorLayer{diff: store.DiffDir(id), part: strings.NewReader("")}
	split, err := l.open(d, store.TarSplitFile(id))
	if err == nil {
		split, err = gzip.NewReader(bufio.NewReaderSize(split, 64<<10))
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("opening its tar-split: %w", err)
	}
	l.entries = storage.NewJSONUnpacker(bufio.NewReaderSize(split, 1<<20))
	return l, nil
}

// open opens the folder of the layer's contents, and its tar-split.
func (l *donorLayer) open(d *donor, split string) (_ io.Reader, err error) {
	if d.file == nil {
		if l.root, err = os.OpenRoot(filepath.Join(d.path, l.diff)); err != nil {
			return nil, err //nolint:wrapcheck // it names the directory
		}
		l.split, err = os.Open(filepath.Join(d.path, split))
		return l.split, err //nolint:wrapcheck // it names the file
	}
	if l.image, err = erofs.NewReader(d.file, d.size); err != nil {
		return nil, err //nolint:wrapcheck // says all
	}
	f, err := l.image.Lookup(split)
	return l.image.Open(f), err //nolint:wrapcheck // it names the file
}

// close closes what was opened for reading.
func (l *donorLayer) close() {
	for _, f := range []*os.File{l.split, l.content} {
		if f != nil {
			f.Close()
		}
	}
	if l.root != nil {
		_ = l.root.Close() // it was a place to read from
	}
}

// Read implements io.Reader.
func (l *donorLayer) Read(b []byte) (int, error) {
	for {
		n, err := l.part.Read(b)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err //nolint:wrapcheck // an io.Reader passes errors on
		}
		entry, err := l.entries.Next()
		if err != nil {
			return 0, err //nolint:wrapcheck // io.EOF is the end
		}
		switch {
		case entry.Type == storage.SegmentType:
			l.part = strings.NewReader(string(entry.Payload))
		case entry.Size > 0:
			if l.part, err = l.openContent(entry.GetName(), entry.Size); err != nil {
				return 0, err
			}
		}
	}
}

// openContent opens a content of size bytes that the tar names.
func (l *donorLayer) openContent(name string, size int64) (io.Reader, error) {
	below := strings.TrimPrefix(path.Clean(name), "/")
	if l.image == nil {
		if l.content != nil {
			l.content.Close()
		}
		var err error
		l.content, err = l.root.OpenFile(below, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
		return io.LimitReader(l.content, size), err //nolint:wrapcheck // it names the file
	}
	f, err := l.image.Lookup(path.Join(l.diff, below))
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	if f.Mode&unix.S_IFMT != unix.S_IFREG || f.Size != size {
		return nil, fmt.Errorf("%s: it is not the file of %d bytes that it was", name, size)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ahead = append(l.ahead, donorFile{name, f})
	return l.image.Open(f), nil
}

// next returns the next content, if it has that name. It is called for all contents,
// in the order of the tar, and is behind Read: any goroutine may call it.
func (l *donorLayer) next(name string) (donorFile, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ahead) == 0 || l.ahead[0].name != name {
		return donorFile{}, false
	}
	f := l.ahead[0]
	l.ahead = l.ahead[1:]
	return f, true
}
