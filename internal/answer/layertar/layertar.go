// Package layertar puts the plain tar of a layer together again: the headers
// from the layer's tar-split file, the contents from its directory.
package layertar

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/asm"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/inroot"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store/tarsplit"
)

// ErrDigest is wrapped where the tar is not the one that was asked for.
var ErrDigest = errors.New("the layer's files are not as they were")

// Layer is a layer that can be put together. Close must be called.
type Layer struct {
	split *os.File
	root  int
}

// Open opens the tar-split file and the directory of a layer. The error wraps
// fs.ErrNotExist where one is missing.
func Open(tarSplit, diff string) (*Layer, error) {
	split, err := safefile.Open(tarSplit)
	if err != nil {
		return nil, fmt.Errorf("opening the headers of a layer: %w", err)
	}
	root, err := unix.Open(diff, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = split.Close() // read only
		return nil, fmt.Errorf("opening the files of a layer: %w", &os.PathError{Op: "open", Path: diff, Err: err})
	}
	return &Layer{split: split, root: root}, nil
}

// Close frees the layer's files.
func (l *Layer) Close() error {
	return errors.Join(l.split.Close(), os.NewSyscallError("close", unix.Close(l.root)))
}

// WriteTo writes the tar to w. It must have the digest and the size: else the
// error wraps ErrDigest, and w has not got the last byte. It may be called once.
func (l *Layer) WriteTo(ctx context.Context, w io.Writer, want digest.Digest, size int64) error {
	headers, err := gzip.NewReader(bufio.NewReader(l.split))
	if err != nil {
		return fmt.Errorf("reading the headers of a layer: %w", err)
	}
	verifier := want.Verifier()
	last := &lastByte{w: w, left: size}
	out := bufio.NewWriterSize(io.MultiWriter(verifier, last), 256<<10)
	if err := asm.WriteOutputTarStream(files{l.root}, tarsplit.NewReader(tarsplit.Bound(ctx, headers, size)), out); err != nil {
		return fmt.Errorf("putting a layer together: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("putting a layer together: %w", err)
	}
	if last.left != 0 || !verifier.Verified() {
		return fmt.Errorf("putting a layer together: %w", ErrDigest)
	}
	return last.release()
}

// files opens the files of a layer as they are named in its tar. Symbolic links
// on the way are followed inside the layer only, as they were when it was
// extracted.
type files struct{ root int }

// Get implements storage.FileGetter.
func (f files) Get(name string) (io.ReadCloser, error) {
	// A fifo in the place of a file must not stop us.
	fd, err := inroot.Open(f.root, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOFOLLOW)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// lastByte passes on everything but the last of left bytes, which it keeps.
type lastByte struct {
	w    io.Writer
	left int64
	kept []byte
}

// Write implements io.Writer.
func (l *lastByte) Write(p []byte) (int, error) {
	n := len(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, ErrDigest
	}
	if l.left == 0 && n > 0 {
		l.kept = []byte{p[n-1]}
		p = p[:n-1]
	}
	if _, err := l.w.Write(p); err != nil {
		return 0, err
	}
	return n, nil
}

func (l *lastByte) release() error {
	if _, err := l.w.Write(l.kept); err != nil {
		return fmt.Errorf("putting a layer together: %w", err)
	}
	return nil
}
