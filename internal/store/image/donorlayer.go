package image

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/tarsplit"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"
)

// donorLayer is the plain tar of a layer, put together from the files and the
// tar-split of a donor. It is an io.ReadSeeker for one goroutine; nothing of it is
// proven. Seek goes forward within a content, whose rest reads as zeros then: it is
// for those who skip it.
type donorLayer struct {
	donor *donor
	image *erofs.Reader // of a donor that is an image
	root  *os.Root      // of one that is a directory
	diff  string
	split split // as it is in the image
	lines *tarsplit.Reader
	gzip  *os.File // of a directory: what lines reads

	pos     int64
	segment []byte    // of the tar, at pos
	name    string    // of the content at pos
	left    int64     // of it
	part    io.Reader // what is left; nil until it is read
	content *os.File  // that part reads, of a directory
}

// split is a tar-split, compressed.
type split struct {
	size int64
	open func() io.Reader
}

// openLayer opens what the donor has of the layer with a diff ID. image reads that of a
// donor that is one.
func (d *donor) openLayer(ctx context.Context, diffID digest.Digest, image *erofs.Reader) (*donorLayer, error) {
	id := d.layers[diffID].id
	l := &donorLayer{donor: d, image: image, diff: store.DiffDir(id)}
	r, err := l.open(store.TarSplitFile(id))
	if err == nil {
		r, err = gzip.NewReader(bufio.NewReaderSize(r, 64<<10))
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("opening its tar-split: %w", err)
	}
	l.lines = tarsplit.NewReader(tarsplit.Bound(ctx, r, d.layers[diffID].size))
	return l, nil
}

// open opens the folder of the layer's contents, and its tar-split.
func (l *donorLayer) open(name string) (_ io.Reader, err error) {
	if l.image == nil {
		if l.root, err = os.OpenRoot(filepath.Join(l.donor.path, l.diff)); err != nil {
			return nil, err
		}
		l.gzip, err = safefile.Open(filepath.Join(l.donor.path, name))
		return l.gzip, err
	}
	f, err := l.image.Lookup(name)
	l.split = split{size: f.Size, open: func() io.Reader { return l.image.Open(f) }}
	return l.split.open(), err
}

// close closes what was opened for reading.
func (l *donorLayer) close() {
	for _, f := range []*os.File{l.gzip, l.content} {
		if f != nil {
			f.Close()
		}
	}
	if l.root != nil {
		_ = l.root.Close() // it was a place to read from
	}
}

// advance comes to where there is something to read.
func (l *donorLayer) advance() error {
	for len(l.segment) == 0 && l.left == 0 {
		entry, err := l.lines.Next()
		switch {
		case err != nil:
			return err // io.EOF is the end
		case entry.Type == storage.SegmentType:
			l.segment = entry.Payload
		case entry.Size < 0:
			return fmt.Errorf("its tar-split has a file of %d bytes", entry.Size)
		default:
			l.name, l.left, l.part = entry.GetName(), entry.Size, nil
		}
	}
	return nil
}

// Read implements io.Reader.
func (l *donorLayer) Read(b []byte) (n int, err error) {
	if err := l.advance(); err != nil {
		return 0, err // io.EOF is the end
	}
	if len(l.segment) > 0 {
		n = copy(b, l.segment)
		l.segment = l.segment[n:]
		l.pos += int64(n)
		return n, nil
	}
	if l.part == nil {
		if l.part, err = l.openContent(); err != nil {
			return 0, err
		}
	}
	n, err = l.part.Read(b[:min(int64(len(b)), l.left)])
	l.pos += int64(n)
	l.left -= int64(n)
	if errors.Is(err, io.EOF) {
		if err = nil; l.left > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// Seek implements io.Seeker, as far as it is said above.
func (l *donorLayer) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent || offset < 0 {
		return 0, errors.ErrUnsupported
	}
	if offset > 0 {
		if err := l.advance(); err != nil {
			return 0, err
		}
		if len(l.segment) > 0 || offset > l.left {
			return 0, fmt.Errorf("its tar-split has %d bytes where there are %d", l.left, offset)
		}
		l.pos += offset
		l.left -= offset
		l.part = zeros{}
	}
	return l.pos, nil
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// openContent opens the content that comes next.
func (l *donorLayer) openContent() (io.Reader, error) {
	if l.image != nil {
		f, err := l.find(l.name, l.left)
		return l.image.Open(f), err
	}
	if l.content != nil {
		l.content.Close()
	}
	var err error
	l.content, err = l.root.OpenFile(below(l.name), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	return l.content, err
}

// find returns the content of size bytes that the tar names, in an image.
func (l *donorLayer) find(name string, size int64) (erofs.File, error) {
	f, err := l.image.Lookup(path.Join(l.diff, below(name)))
	if err != nil {
		return f, err
	}
	if f.Mode&unix.S_IFMT != unix.S_IFREG || f.Size != size {
		return f, fmt.Errorf("%s: it is not the file of %d bytes that it was", name, size)
	}
	return f, nil
}

// below is a name of the tar relative to the layer.
func below(name string) string { return strings.TrimPrefix(path.Clean(name), "/") }
