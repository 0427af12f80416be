package mirror

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/atomicfile"
)

// ErrBusy is returned when another run holds the work directory.
var ErrBusy = errors.New("another run uses the work directory")

// The work directory:
//
//	small/<digest>          manifests, lists, configurations, attachments
//	layers/<digest>.json    a record of a finished layer, by its compressed digest
//	frames/<digest>         its frames, by the digest of their content
//	frames/<digest>.table   the frames of its file table, by the layer's digest
//	partial/<digest>        the compressed bytes of a layer that is on its way
//	lock                    held by the run
//
// Small files are verified whenever they are read, so they are not synced: what
// a power cut takes of them is fetched again. Frames are trusted where a record
// names them: they are synced before the record is written.
type work struct {
	root string
	enc  *bundle.Encoder
	lock *os.File
}

// record says that a layer was fetched, verified and encoded.
type record struct {
	// Encoder made the frames; another encoder's are of no use.
	Encoder string `json:"encoder"`
	// Blob is the digest of the frames' content: the diff ID of an expanded
	// layer, else the compressed digest.
	Blob   digest.Digest  `json:"blob"`
	Size   int64          `json:"size"`
	Frames []bundle.Frame `json:"frames"`
	Table  *tableRecord   `json:"table,omitempty"`
}

// tableRecord is the part of a record about the layer's file table.
type tableRecord struct {
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

// openWork opens or makes the work directory and locks it.
func openWork(root string, enc *bundle.Encoder) (*work, error) {
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
	w := &work{root: root, enc: enc, lock: lock}
	return w, w.sweep()
}

// sweep removes the files that a killed run was writing.
func (w *work) sweep() error {
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

// close gives the lock back. What is in the directory stays.
func (w *work) close() { w.lock.Close() }

func (w *work) recordPath(compressed digest.Digest) string {
	return filepath.Join(w.root, dirLayers, compressed.Encoded()+".json")
}

func (w *work) framesPath(blob digest.Digest) string {
	return filepath.Join(w.root, dirFrames, blob.Encoded())
}

func (w *work) tablePath(layer digest.Digest) string { return w.framesPath(layer) + ".table" }

func (w *work) partialPath(compressed digest.Digest) string {
	return filepath.Join(w.root, dirPartial, compressed.Encoded())
}

// record returns what is known of a layer that was finished with this encoder
// as the given blob, nil where it has to be fetched. The record of an expanded
// layer has its file table; that of an original one has none, also where the
// layer is a plain tar and was finished expanded before.
func (w *work) record(compressed, blob digest.Digest, form bundle.LayerForm) *record {
	data, err := os.ReadFile(w.recordPath(compressed))
	if err != nil {
		return nil
	}
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil || rec.Encoder != w.enc.Name() || rec.Blob != blob {
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
	return err == nil && info.Mode().IsRegular() && info.Size() == compressedSize(frames)
}

func compressedSize(frames []bundle.Frame) (n int64) {
	for _, f := range frames {
		n += f.Compressed
	}
	return n
}

// commit makes a finished layer known: it syncs its files, gives them their
// names and writes the record.
func (w *work) commit(compressed digest.Digest, m *made) error {
	for _, f := range m.files {
		if err := f.commit(); err != nil {
			return err
		}
	}
	data, err := json.Marshal(m.record)
	if err == nil {
		err = writeLoose(w.recordPath(compressed), data)
	}
	if err != nil {
		return fmt.Errorf("recording layer %s: %w", compressed, err)
	}
	w.dropPartial(compressed)
	return nil
}

// dropPartial removes what is left of a download; a rest that cannot be removed
// costs space only.
func (w *work) dropPartial(compressed digest.Digest) {
	os.Remove(w.partialPath(compressed)) //nolint:errcheck // as said
}

// openFrames opens a file of frames.
func openFrames(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("the work directory was changed: %w", err)
		}
		return nil, fmt.Errorf("frames: %w", err)
	}
	return f, nil
}
