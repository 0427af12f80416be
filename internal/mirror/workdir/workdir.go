// Package workdir keeps what a run of the mirror engine has so far, for the next
// run: small blobs, layers as frames, and downloads that were broken off.
package workdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/atomicfile"
)

// ErrBusy is returned when another run holds the work directory.
var ErrBusy = errors.New("another run uses the work directory")

// Dir is a work directory:
//
//	small/<digest>          manifests, lists, configurations, attachments
//	layers/<digest>.json    a record of a finished layer, by its compressed digest
//	frames/<digest>         its frames, by the digest of their content
//	frames/<digest>.table   the frames of its file table, by the layer's digest
//	partial/<digest>        the compressed bytes of a layer that is on its way
//	lock                    held by the run
//
// Its methods may be called at the same time, for different blobs. Small files are verified whenever they are read, so they are not synced: what
// a power cut takes of them is fetched again. Frames are trusted where a record
// names them: they are synced before the record is written.
type Dir struct {
	root    string
	encoder string
	lock    *os.File
}

// Record says that a layer was fetched, verified and encoded.
type Record struct {
	// Encoder made the frames; another encoder's are of no use.
	Encoder string `json:"encoder"`
	// Blob is the digest of the frames' content: the diff ID of an expanded
	// layer, else the compressed digest.
	Blob   digest.Digest  `json:"blob"`
	Size   int64          `json:"size"`
	Frames []bundle.Frame `json:"frames"`
	Table  *Table         `json:"table,omitempty"`
}

// Table is the part of a record about the layer's file table.
type Table struct {
	Digest digest.Digest  `json:"digest"`
	Size   int64          `json:"size"`
	Frames []bundle.Frame `json:"frames"`
}

const (
	dirSmall   = "small"
	dirLayers  = "layers"
	dirFrames  = "frames"
	dirPartial = "partial"
	fileLock   = "lock"
)

// Open opens or makes the work directory and locks it (ErrBusy). encoder is the
// name of the Encoder that makes the frames of this run. The caller closes it.
func Open(root, encoder string) (*Dir, error) {
	for _, d := range []string{dirSmall, dirLayers, dirFrames, dirPartial} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return nil, fmt.Errorf("work directory: %w", err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(root, fileLock), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("work directory: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, errors.Join(fmt.Errorf("work directory %s: %w", root, err), lock.Close())
	}
	w := &Dir{root: root, encoder: encoder, lock: lock}
	return w, w.sweep()
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

// Close gives the lock back. What is in the directory stays.
func (w *Dir) Close() { w.lock.Close() }

func (w *Dir) recordPath(compressed digest.Digest) string {
	return filepath.Join(w.root, dirLayers, compressed.Encoded()+".json")
}

func (w *Dir) framesPath(blob digest.Digest) string {
	return filepath.Join(w.root, dirFrames, blob.Encoded())
}

func (w *Dir) tablePath(layer digest.Digest) string { return w.framesPath(layer) + ".table" }

func (w *Dir) partialPath(compressed digest.Digest) string {
	return filepath.Join(w.root, dirPartial, compressed.Encoded())
}

// Record returns what is known of a layer that was finished with this encoder
// as the given blob, nil where it has to be fetched. The record of an expanded
// layer has its file table; that of an original one has none, also where the
// layer is a plain tar and was finished expanded before.
func (w *Dir) Record(compressed, blob digest.Digest, form bundle.LayerForm) *Record {
	data, err := os.ReadFile(w.recordPath(compressed))
	if err != nil {
		return nil
	}
	var rec Record
	if err := json.Unmarshal(data, &rec); err != nil || rec.Encoder != w.encoder || rec.Blob != blob {
		return nil
	}
	if !fileHas(w.framesPath(blob), rec.Frames) {
		return nil
	}
	if form == bundle.Original {
		rec.Table = nil
		return &rec
	}
	if rec.Table == nil || !fileHas(w.tablePath(blob), rec.Table.Frames) {
		return nil
	}
	return &rec
}

// fileHas reports whether the file has just the bytes of the frames.
func fileHas(path string, frames []bundle.Frame) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == FramesSize(frames)
}

// FramesSize is the length of a file with the frames.
func FramesSize(frames []bundle.Frame) (n int64) {
	for _, f := range frames {
		n += f.Compressed
	}
	return n
}

// DiskSize is how many bytes the files of the layer have.
func (r *Record) DiskSize() int64 {
	n := FramesSize(r.Frames)
	if r.Table != nil {
		n += FramesSize(r.Table.Frames)
	}
	return n
}

// Commit makes a finished layer known: it syncs its files, gives them their
// names and writes the record.
func (w *Dir) Commit(compressed digest.Digest, rec *Record, files ...*FramesFile) error {
	for _, f := range files {
		if err := f.commit(); err != nil {
			return err
		}
	}
	data, err := json.Marshal(rec)
	if err == nil {
		err = writeLoose(w.recordPath(compressed), data)
	}
	if err != nil {
		return fmt.Errorf("recording layer %s: %w", compressed, err)
	}
	w.DropPartial(compressed)
	return nil
}

// OpenPartial opens what was kept of a layer's compressed bytes, at most size
// bytes, and says how many they are. What comes is to be written behind them.
// The caller closes the file.
func (w *Dir) OpenPartial(compressed digest.Digest, size int64) (*os.File, int64, error) {
	f, err := os.OpenFile(w.partialPath(compressed), os.O_CREATE|os.O_RDWR, 0o644)
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

// Kept is how many compressed bytes of a layer were kept.
func (w *Dir) Kept(compressed digest.Digest) int64 {
	info, err := os.Stat(w.partialPath(compressed))
	if err != nil {
		return 0
	}
	return info.Size()
}

// DropPartial removes what is left of a download; a rest that cannot be removed
// costs space only.
func (w *Dir) DropPartial(compressed digest.Digest) {
	os.Remove(w.partialPath(compressed)) //nolint:errcheck // as said
}
