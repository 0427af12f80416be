// Package workdir keeps what a run of the mirror engine has so far, for the next
// run: small blobs, layers as frames, and downloads that were broken off.
package workdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/own"
)

// Dir is a work directory:
//
//	small/<digest>          manifests, lists, configurations, attachments
//	layers/<digest>.json    a record of a finished layer, by its compressed digest
//	frames/<digest>         its frames, by the digest of their content
//	frames/<digest>.table   the frames of its file table, by the layer's digest
//	compressed/<digest>     the compressed bytes of a layer: as far as they came,
//	                        or whole, where a record says so
//	deltas/                 what a run makes of layers, and removes at its end
//	lock                    held by the run
//
// A record holds what is small of frames, table and compressed bytes itself.
//
// Its methods may be called at the same time, for different blobs. Small files
// are verified whenever they are read, so they are not synced: what a power cut
// takes of them is fetched again. Whole compressed layers are not synced either: the run
// that fetched them has proven them, and a later one proves them again before it
// takes them. Frames are trusted where a record names them: they are synced before
// the record is written.
type Dir struct {
	root    string
	encoder string
	lock    *os.File
	// scratch has the small blobs of a run that only looks, "" for others.
	scratch string
}

const (
	dirSmall      = "small"
	dirLayers     = "layers"
	dirFrames     = "frames"
	dirCompressed = "compressed"
	dirDeltas     = "deltas"
	fileLock      = "lock"
)

// Open opens or makes the work directory and locks it (filelock.ErrBusy). The error wraps
// own.ErrForeign if another user can have changed what an earlier run has left. encoder is the
// name of the Encoder that makes the frames of this run. The caller closes it.
func Open(root, encoder string) (*Dir, error) {
	for _, d := range []string{dirSmall, dirLayers, dirFrames, dirCompressed} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return nil, fmt.Errorf("work directory: %w", err)
		}
	}
	if err := checkOwn(root); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(root, fileLock), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("work directory: %w", err)
	}
	if err := filelock.Take(lock); err != nil {
		return nil, errors.Join(fmt.Errorf("work directory %s: %w", root, err), lock.Close())
	}
	w := &Dir{root: root, encoder: encoder, lock: lock}
	if err := w.sweep(); err != nil {
		return w, err
	}
	return w, w.DropDeltas()
}

// Look opens the work directory, which need not exist, for a run that only looks: nothing
// in it is changed. What PutSmall keeps is gone after Close, and nothing else may be
// kept. Errors are those of Open.
func Look(root, encoder string) (*Dir, error) {
	w := &Dir{root: root, encoder: encoder}
	if _, err := os.Stat(root); err == nil {
		if err := checkOwn(root); err != nil {
			return nil, err
		}
	}
	var err error
	if w.scratch, err = os.MkdirTemp("", "nodeseal-dry-run-"); err != nil {
		return nil, fmt.Errorf("work directory: %w", err)
	}
	return w, nil
}

// checkOwn refuses a work directory whose records another user can have written: they
// are believed.
func checkOwn(root string) error {
	err := own.CheckParent(root)
	for _, d := range []string{dirSmall, dirLayers, dirFrames, dirCompressed} {
		if err == nil {
			err = own.CheckPath(filepath.Join(root, d))
		}
	}
	if err != nil {
		return fmt.Errorf("work directory: %w", err)
	}
	return nil
}

// sweep removes the files that a killed run was writing.
func (w *Dir) sweep() error {
	for _, d := range []string{dirSmall, dirLayers, dirFrames} {
		rest, err := filepath.Glob(filepath.Join(w.root, d, "*"+atomicfile.Suffix))
		if err != nil {
			return fmt.Errorf("work directory: %w", err)
		}
		for _, path := range rest {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("work directory: %w", err)
			}
		}
	}
	return nil
}

// Close removes the deltas of the run and gives the lock back. What else is in the directory stays.
func (w *Dir) Close() {
	if w.scratch != "" {
		_ = os.RemoveAll(w.scratch) // a directory of its own, for temporary files
		return
	}
	_ = w.DropDeltas() // the next run does that, too
	w.lock.Close()
}

// Deltas makes an empty directory for the deltas of this run. DropDeltas removes it; what a killed
// run leaves of it, the next Open does.
func (w *Dir) Deltas() (string, error) {
	if err := w.DropDeltas(); err != nil {
		return "", err
	}
	dir := filepath.Join(w.root, dirDeltas)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("work directory: %w", err)
	}
	return dir, nil
}

// DropDeltas is described at Deltas.
func (w *Dir) DropDeltas() error {
	if err := os.RemoveAll(filepath.Join(w.root, dirDeltas)); err != nil {
		return fmt.Errorf("work directory: %w", err)
	}
	return nil
}

func (w *Dir) recordPath(compressed digest.Digest) string {
	return filepath.Join(w.root, dirLayers, compressed.Encoded()+".json")
}

func (w *Dir) framesPath(blob digest.Digest) string {
	return filepath.Join(w.root, dirFrames, blob.Encoded())
}

func (w *Dir) tablePath(layer digest.Digest) string { return w.framesPath(layer) + ".table" }

func (w *Dir) compressedPath(compressed digest.Digest) string {
	return filepath.Join(w.root, dirCompressed, compressed.Encoded())
}

// OpenCompressed opens what was kept of a layer's compressed bytes, at most size
// bytes, and says how many they are. What comes is to be written behind them.
// The caller closes the file.
func (w *Dir) OpenCompressed(compressed digest.Digest, size int64) (*os.File, int64, error) {
	f, err := os.OpenFile(w.compressedPath(compressed), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, 0, fmt.Errorf("keeping what comes: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() <= size {
		return f, info.Size(), nil
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("keeping what comes: %w", err), f.Close())
	}
	return f, 0, nil
}

// Caused reports whether err is that of a call on a file of the directory.
func (w *Dir) Caused(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return w.holds(path.Path)
	case errors.As(err, &link):
		return w.holds(link.Old)
	}
	return false
}

func (w *Dir) holds(path string) bool {
	for _, root := range []string{w.root, w.scratch} {
		if rel, err := filepath.Rel(root, path); root != "" && err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

// Kept is how many compressed bytes of a layer were kept.
func (w *Dir) Kept(compressed digest.Digest) int64 {
	info, err := os.Stat(w.compressedPath(compressed))
	if err != nil {
		return 0
	}
	return info.Size()
}

// DropCompressed removes what is left of a download; a rest that cannot be removed
// costs space only.
func (w *Dir) DropCompressed(compressed digest.Digest) {
	os.Remove(w.compressedPath(compressed)) //nolint:errcheck // as said
}
