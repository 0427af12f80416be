package workdir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/atomicfile"
)

// CreateFrames starts the frames of a layer, CreateTable those of its file
// table. blob is the digest of the layer as the bundle holds it.
func (w *Dir) CreateFrames(ctx context.Context, enc *seekable.Encoder, blob digest.Digest) *FramesFile {
	return createFrames(ctx, enc.NewWriter, w.framesPath(blob))
}

// CreateTable is described at CreateFrames.
func (w *Dir) CreateTable(ctx context.Context, enc *seekable.Encoder, blob digest.Digest) *FramesFile {
	return createFrames(ctx, enc.NewSmallWriter, w.tablePath(blob))
}

// FramesFile is a file of frames in the making. Abort must be called on every
// path; after Dir.Commit it does nothing.
type FramesFile struct {
	*seekable.Writer
	spill *spill
	path  string
	ended bool
}

func createFrames(ctx context.Context, writer func(context.Context, io.Writer) *seekable.Writer, path string) *FramesFile {
	s := &spill{path: path + atomicfile.Suffix}
	return &FramesFile{Writer: writer(ctx, s), spill: s, path: path}
}

// spill keeps the first InlineMost bytes in memory and makes a file when more come.
type spill struct {
	path  string
	small []byte
	file  *os.File
}

// Write implements io.Writer.
func (s *spill) Write(p []byte) (int, error) {
	if s.file == nil && len(s.small)+len(p) <= InlineMost {
		s.small = append(s.small, p...)
		return len(p), nil
	}
	if s.file == nil {
		f, err := os.Create(s.path)
		if err != nil {
			return 0, fmt.Errorf("frames: %w", err)
		}
		s.file = f
		if _, err := f.Write(s.small); err != nil {
			return 0, fmt.Errorf("frames: %w", err)
		}
		s.small = nil
	}
	return s.file.Write(p)
}

// End writes what is left of size bytes of content and returns the frames.
func (f *FramesFile) End(size int64) ([]seekable.Frame, error) {
	if err := archive.PadContent(f, size); err != nil {
		return nil, fmt.Errorf("frames: %w", err)
	}
	f.ended = true
	frames, err := f.Close()
	if err != nil {
		return nil, fmt.Errorf("frames: %w", err)
	}
	return frames, nil
}

// commit syncs a file after End and gives it its name. What needs no file is
// returned.
func (f *FramesFile) commit() (*Inline, error) {
	file := f.spill.file
	if file == nil {
		return NewInline(f.spill.small), nil
	}
	err := errors.Join(file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), f.path)
	}
	if err != nil {
		return nil, fmt.Errorf("frames: %w", err)
	}
	return nil, nil // it is in the file
}

// Abort removes the file. After commit it does nothing.
func (f *FramesFile) Abort() {
	if !f.ended {
		f.ended = true
		_, _ = f.Close() // given up
	}
	if file := f.spill.file; file != nil && file.Close() == nil {
		_ = os.Remove(file.Name()) // else the next run sweeps it
	}
}
