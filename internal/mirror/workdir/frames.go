package workdir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/atomicfile"
)

// CreateFrames starts the frames of a layer, CreateTable those of its file
// table. blob is the digest of the layer as the bundle holds it.
func (w *Dir) CreateFrames(ctx context.Context, enc *bundle.Encoder, blob digest.Digest) (*FramesFile, error) {
	return createFrames(ctx, enc, w.framesPath(blob))
}

// CreateTable is described at CreateFrames.
func (w *Dir) CreateTable(ctx context.Context, enc *bundle.Encoder, blob digest.Digest) (*FramesFile, error) {
	return createFrames(ctx, enc, w.tablePath(blob))
}

// OpenFrames opens the frames of a layer that a record names, OpenTable those of
// its file table. The caller closes them.
func (w *Dir) OpenFrames(blob digest.Digest) (io.ReadCloser, error) {
	return openFrames(w.framesPath(blob))
}

// OpenTable is described at OpenFrames.
func (w *Dir) OpenTable(blob digest.Digest) (io.ReadCloser, error) {
	return openFrames(w.tablePath(blob))
}

// openFrames opens a file of frames.
func openFrames(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("the work directory was changed: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("frames: %w", err)
	}
	return f, nil
}

// FramesFile is a file of frames in the making. Abort must be called on every
// path; after Dir.Commit it does nothing.
type FramesFile struct {
	*bundle.FrameWriter
	file  *os.File
	path  string
	ended bool
}

func createFrames(ctx context.Context, enc *bundle.Encoder, path string) (*FramesFile, error) {
	f, err := os.Create(path + atomicfile.Suffix)
	if err != nil {
		return nil, fmt.Errorf("frames: %w", err)
	}
	return &FramesFile{FrameWriter: enc.NewFrameWriter(ctx, f), file: f, path: path}, nil
}

// End writes what is left of size bytes of content and returns the frames.
func (f *FramesFile) End(size int64) ([]bundle.Frame, error) {
	if err := bundle.PadContent(f, size); err != nil {
		return nil, fmt.Errorf("frames: %w", err)
	}
	f.ended = true
	frames, err := f.Close()
	if err != nil {
		return nil, fmt.Errorf("frames: %w", err)
	}
	return frames, nil
}

// commit syncs a file after End and gives it its name.
func (f *FramesFile) commit() error {
	err := f.file.Sync()
	if cerr := f.file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.file.Name(), f.path)
	}
	if err != nil {
		return fmt.Errorf("frames: %w", err)
	}
	return nil
}

// Abort removes the file. After commit it does nothing.
func (f *FramesFile) Abort() {
	if !f.ended {
		f.ended = true
		_, _ = f.Close() // given up
	}
	if err := f.file.Close(); err == nil {
		_ = os.Remove(f.file.Name()) // else the next run sweeps it
	}
}
