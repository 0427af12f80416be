package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/nodeseal/nodeseal/bundle/seekable"
)

const (
	// SpoolSize is how long the file of a Spool becomes at most, in bytes.
	SpoolSize = 512 << 20
	// SpoolMemory is what a Spool takes for frames as nodeseal writes them, in bytes.
	SpoolMemory = decodersOfSpool * 2 * seekable.FrameSize

	decodersOfSpool = 2
)

// ErrSpool is wrapped if the file of a Spool cannot be written or read: no bundle is at fault.
var ErrSpool = errors.New("the work file for decoded frames of bundles")

// Spool keeps decoded frames of bundles in a file, so that bytes all over a layer are read at the
// cost of one decoding. The file has no name, and is there from the first frame until Close. If it
// would become longer than SpoolSize it is emptied. A Spool is safe for use by many goroutines.
type Spool struct {
	dir  string
	most int64
	once singleflight.Group
	free chan *frameBuffers

	mu     sync.RWMutex
	closed bool
	file   *os.File
	at     map[frameOf]int64
	end    int64
}

type frameOf struct {
	b *Reader
	i int
}

type frameBuffers struct{ compressed, content []byte }

// NewSpool returns a Spool whose file is in the directory dir. The caller calls Close.
func NewSpool(dir string) *Spool {
	s := &Spool{dir: dir, most: SpoolSize, free: make(chan *frameBuffers, decodersOfSpool), at: make(map[frameOf]int64)}
	for range decodersOfSpool {
		s.free <- new(frameBuffers)
	}
	return s
}

// Close removes what the Spool holds. What is read afterwards is an error.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	clear(s.at)
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// read reads bytes of frame i of b, from off on. It reads fewer only at the frame's end.
func (s *Spool) read(ctx context.Context, b *Reader, i int, p []byte, off int64) (int, error) {
	p = p[:min(int64(len(p)), b.frames[i].Content-off)]
	for {
		if err := ctx.Err(); err != nil {
			return 0, context.Cause(ctx)
		}
		if ok, err := s.readThere(frameOf{b, i}, p, off); ok || err != nil {
			return len(p), err
		}
		_, err, _ := s.once.Do(fmt.Sprintf("%p/%d", b, i), func() (any, error) { return nil, s.decode(b, i) })
		if err != nil {
			return 0, err
		}
	}
}

// readThere reads of a frame that is in the file.
func (s *Spool) readThere(f frameOf, p []byte, off int64) (bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, ok := s.at[f]
	if !ok {
		return false, nil
	}
	if _, err := s.file.ReadAt(p, at+off); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return false, fmt.Errorf("%w: %w", ErrSpool, err)
	}
	return true, nil
}

// decode puts a frame into the file.
func (s *Spool) decode(b *Reader, i int) (err error) {
	buf := <-s.free
	defer func() {
		if cap(buf.content) > seekable.FrameSize || cap(buf.compressed) > 2*seekable.FrameSize {
			buf = new(frameBuffers) // of a bundle with longer frames
		}
		s.free <- buf
	}()
	if buf.compressed, buf.content, err = b.decodeFrame(i, buf.compressed, buf.content); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.keep(frameOf{b, i}, buf.content); err != nil {
		return fmt.Errorf("%w: %w", ErrSpool, err)
	}
	return nil
}

func (s *Spool) keep(f frameOf, content []byte) (err error) {
	if s.closed {
		return os.ErrClosed
	}
	if s.file == nil {
		if s.file, err = os.CreateTemp(s.dir, ".nodeseal-frames-"); err != nil {
			return err
		}
		if err := os.Remove(s.file.Name()); err != nil {
			return err
		}
	}
	if s.end+int64(len(content)) > s.most {
		clear(s.at)
		s.end = 0
		if err := s.file.Truncate(0); err != nil {
			return err
		}
	}
	if _, err := s.file.WriteAt(content, s.end); err != nil {
		return err
	}
	s.at[f] = s.end
	s.end += int64(len(content))
	return nil
}
