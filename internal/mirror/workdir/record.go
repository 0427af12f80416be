package workdir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/layout"
)

// Record says that a layer was fetched and verified, and where it is.
type Record struct {
	// Encoder made the frames; another encoder's are of no use. It is empty where
	// there are none.
	Encoder string `json:"encoder,omitempty"`
	// Compressed says that the layer was kept as the registry has it, and has frames of
	// its table only.
	Compressed bool `json:"compressed,omitempty"`
	// Blob is the digest of the frames' content: the diff ID of an expanded
	// layer, else the compressed digest. Size is its length.
	Blob digest.Digest `json:"blob"`
	Size int64         `json:"size"`
	// DiffSize is the length of the plain tar of a layer that is Kept, DiffID its digest, ""
	// in records of earlier versions.
	DiffSize int64         `json:"diffSize,omitempty"`
	DiffID   digest.Digest `json:"diffID,omitempty"`
	// TrueSize is how long the registry's bytes are, whatever a manifest says; 0 in records of earlier versions.
	TrueSize int64 `json:"trueSize,omitempty"`

	Frames []seekable.Frame `json:"frames,omitempty"`
	// Inline is the frames, where they are small; where there are no frames, the
	// compressed bytes.
	Inline *Inline `json:"inline,omitempty"`
	Table  *Table  `json:"table,omitempty"`
	// Loose says that the file was not synced: a later run proves it first.
	Loose bool `json:"loose,omitempty"`
}

// Kept is the form, besides those of a bundle, of a layer as the registry has it with the
// file table of its tar, which was held to the diff ID.
const Kept bundle.LayerForm = "kept"

// Table is the part of a record about the layer's file table.
type Table struct {
	// Rules is the version of the rules that the layer's members were held to.
	Rules int `json:"rules"`
	// Lost says why a store cannot give the layer back, "" where it can.
	Lost   string           `json:"lost,omitempty"`
	Digest digest.Digest    `json:"digest"`
	Size   int64            `json:"size"`
	Frames []seekable.Frame `json:"frames"`
	Inline *Inline          `json:"inline,omitempty"`
}

// InlineMost is the most that is kept in a record instead of in a file of its
// own, in bytes.
const InlineMost = 64 << 10

// Inline is a small file within a record. Records are not synced, so it is
// verified when it is read.
type Inline struct {
	SHA256 digest.Digest `json:"sha256"`
	Data   []byte        `json:"data"`
}

// NewInline returns data as it stands in a record.
func NewInline(data []byte) *Inline { return &Inline{digest.FromBytes(data), data} }

func (i *Inline) whole() bool { return i != nil && digest.FromBytes(i.Data) == i.SHA256 }

// compressed reports whether the record is of a layer as the registry has it.
func (r *Record) compressed() bool { return r.Encoder == "" || r.Compressed }

// PlainSize is the length of the layer's tar, 0 where that is not known.
func (r *Record) PlainSize() int64 {
	if r.compressed() {
		return r.DiffSize
	}
	return r.Size
}

// DiskSize is about how many bytes the layer takes in a bundle.
func (r *Record) DiskSize() int64 {
	n := FramesSize(r.Frames)
	if r.compressed() {
		n = r.Size
	}
	if r.Table != nil {
		n += FramesSize(r.Table.Frames)
	}
	return n
}

// FramesSize is the length of a file with the frames.
func FramesSize(frames []seekable.Frame) (n int64) {
	for _, f := range frames {
		n += f.Compressed
	}
	return n
}

// Record returns what is known of a layer that was finished as the given blob,
// with this encoder where there are frames, nil where it has to be fetched. The
// record of an expanded layer, and of a Kept one, has its file table; that of an
// original one is of its compressed bytes, and so is that of a Kept one.
func (w *Dir) Record(compressed, blob digest.Digest, form bundle.LayerForm) *Record {
	rec := w.readRecord(compressed)
	switch {
	case rec == nil || rec.Blob != blob || rec.compressed() != (form != bundle.Expanded),
		!rec.Inline.whole() && !w.hasContent(compressed, rec):
		return nil
	case form == bundle.Original:
		return rec
	case rec.Encoder != w.encoder || rec.Table == nil || rec.Table.Rules != layerrules.Version,
		!rec.Table.Inline.whole() && !fileHas(w.tablePath(blob), FramesSize(rec.Table.Frames)):
		return nil
	}
	return rec
}

// hasContent reports whether the file with a layer's frames or compressed bytes is there.
func (w *Dir) hasContent(compressed digest.Digest, rec *Record) bool {
	if rec.compressed() {
		return fileHas(w.compressedPath(compressed), rec.Size)
	}
	return fileHas(w.framesPath(rec.Blob), FramesSize(rec.Frames))
}

// maxRecord bounds a record, in bytes. That of a layer of 100 GiB is about 1 MiB long.
const maxRecord = 16 << 20

func (w *Dir) readRecord(compressed digest.Digest) *Record {
	data, err := safefile.ReadFile(w.recordPath(compressed), maxRecord)
	if err != nil {
		return nil
	}
	var rec Record
	if err := jsonbound.Unmarshal(data, &rec); err != nil || rec.Blob.Validate() != nil {
		return nil
	}
	return &rec
}

// fileHas reports whether the file has so many bytes.
func fileHas(path string, size int64) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// Commit makes a layer known whose frames, and table, ended: it syncs their
// files, gives them their names and writes the record.
func (w *Dir) Commit(compressed digest.Digest, rec *Record, frames, table *FramesFile) (err error) {
	if rec.Inline, err = frames.commit(); err != nil {
		return err
	}
	if rec.Table.Inline, err = table.commit(); err != nil {
		return err
	}
	if err := w.putRecord(compressed, rec); err != nil {
		return err
	}
	w.DropCompressed(compressed)
	return nil
}

// CommitCompressed makes a layer known whose compressed bytes are in the file that
// OpenCompressed returned, or in rec.Inline. The file is not synced: this run has
// proven its bytes and the kernel has them; a later one calls Prove.
func (w *Dir) CommitCompressed(compressed digest.Digest, rec *Record) error {
	rec.Loose = rec.Inline == nil
	return w.putRecord(compressed, rec)
}

// CommitKept is CommitCompressed of a layer whose table, which ended, belongs to it: the
// table is synced.
func (w *Dir) CommitKept(compressed digest.Digest, rec *Record, table *FramesFile) (err error) {
	if rec.Table.Inline, err = table.commit(); err != nil {
		return err
	}
	return w.CommitCompressed(compressed, rec)
}

// Prove reports whether a layer that has a record of an earlier run is what the
// record says. A file that was not synced is read and held to its digest, and
// then synced: it need not be read again. One that is wrong is removed.
func (w *Dir) Prove(compressed digest.Digest, rec *Record) (bool, error) {
	if !rec.Loose {
		return true, nil
	}
	f, err := os.Open(w.compressedPath(compressed))
	if err != nil {
		return false, fmt.Errorf("kept layer: %w", err)
	}
	defer f.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, layout.NewVerifier(f, compressed, rec.Size), make([]byte, 256<<10))
	if errors.Is(err, layout.ErrDigest) || errors.Is(err, layout.ErrSize) {
		w.DropCompressed(compressed)
		return false, nil
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return false, fmt.Errorf("kept layer: %w", err)
	}
	rec.Loose = false
	return true, w.putRecord(compressed, rec)
}

func (w *Dir) putRecord(compressed digest.Digest, rec *Record) error {
	data, err := json.Marshal(rec)
	if err == nil {
		err = writeLoose(w.recordPath(compressed), data)
	}
	if err != nil {
		return fmt.Errorf("recording layer %s: %w", compressed, err)
	}
	return nil
}

// OpenLayer opens a layer that has a record: its frames, or, where there are no
// frames, its compressed bytes. The caller closes it.
func (w *Dir) OpenLayer(compressed, blob digest.Digest, form bundle.LayerForm) (io.ReadCloser, []seekable.Frame, error) {
	rec := w.Record(compressed, blob, form)
	if rec == nil {
		return nil, nil, errLost
	}
	path := w.framesPath(blob)
	if rec.compressed() {
		path = w.compressedPath(compressed)
	}
	r, err := open(rec.Inline, path)
	return r, rec.Frames, err
}

// OpenTable opens the frames of the file table of a layer that has a record. The caller
// closes it.
func (w *Dir) OpenTable(compressed, blob digest.Digest, form bundle.LayerForm) (io.ReadCloser, []seekable.Frame, error) {
	rec := w.Record(compressed, blob, form)
	if rec == nil {
		return nil, nil, errLost
	}
	r, err := open(rec.Table.Inline, w.tablePath(blob))
	return r, rec.Table.Frames, err
}

var errLost = errors.New("the work directory was changed: it lost the layer")

func open(inline *Inline, path string) (io.ReadCloser, error) {
	if inline != nil {
		return io.NopCloser(bytes.NewReader(inline.Data)), nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("the work directory was changed: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("frames: %w", err)
	}
	return f, nil
}
