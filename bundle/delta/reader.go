package delta

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
)

// Reader gives back the plain tar that a delta holds. It is for one goroutine, and takes at most
// Memory bytes. Its io.EOF means that the delta ended with as many bytes as it says; the caller
// proves that they are the layer. Errors wrap bundle.ErrDamaged where the delta breaks the format,
// ErrOld where an old file is missing or too short; those of the delta's reader pass.
type Reader struct {
	z      *zstd.Decoder
	in     *bufio.Reader
	src    *source
	old    Old
	layers []digest.Digest
	size   int64 // of the tar
	done   int64 // bytes of it that were told
	err    error

	literal int64 // bytes of a literal that are left
	file    OldFile
	ref     File
	opened  int64 // old files so far
	equal   int64 // bytes of an equal file that are left
	end     int64 // of the last file that was referred to

	section section
	out     []byte // what is left of chunk
	chunk   []byte
}

// source keeps the error of what the delta is read from, which zstd wraps.
type source struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// NewReader opens the delta in r, which makes a plain tar of size bytes. The caller calls Close.
func NewReader(r io.Reader, size int64, old Old) (*Reader, error) {
	src := &source{r: r}
	z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(Window), zstd.WithDecoderMaxMemory(math.MaxInt64))
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	d := &Reader{z: z, in: bufio.NewReaderSize(z, 64<<10), src: src, old: old, size: size}
	if err := d.head(); err != nil {
		d.z.Close()
		return nil, d.fault(err)
	}
	return d, nil
}

// Layers are the older layers that the delta refers to.
func (d *Reader) Layers() []digest.Digest { return d.layers }

// Close releases what the Reader holds. It does not close the underlying reader.
func (d *Reader) Close() error {
	d.z.Close()
	d.out, d.literal, d.equal = nil, 0, 0
	if d.err == nil {
		d.err = fs.ErrClosed
	}
	return d.closeFile()
}

func (d *Reader) closeFile() error {
	if d.file == nil {
		return nil
	}
	err := d.file.Close()
	d.file = nil
	return err
}

// errFormat is the cause of damage to a delta.
var errFormat = errors.New("delta is not valid")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errFormat, fmt.Sprintf(format, args...))
}

// fault says who is at fault.
func (d *Reader) fault(err error) error {
	switch {
	case err == nil || errors.Is(err, ErrOld):
		return err
	case d.src.err != nil:
		return fmt.Errorf("reading delta: %w", d.src.err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w: cut short", bundle.ErrDamaged, errFormat)
	}
	return fmt.Errorf("%w: %w", bundle.ErrDamaged, err)
}

func (d *Reader) head() error {
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(d.in, start); err != nil {
		return err
	}
	if string(start) != magic {
		return invalid("it starts with %q", start)
	}
	size, err := d.number(math.MaxInt64)
	if err != nil {
		return err
	}
	if size != d.size {
		return invalid("it makes %d bytes, want %d", size, d.size)
	}
	n, err := d.number(MaxLayers)
	if err != nil {
		return err
	}
	for range n {
		var raw [32]byte
		if _, err := io.ReadFull(d.in, raw[:]); err != nil {
			return err
		}
		d.layers = append(d.layers, digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(raw[:])))
	}
	return nil
}

// number reads an unsigned number of at most most.
func (d *Reader) number(most int64) (int64, error) {
	n, err := binary.ReadUvarint(d.in)
	if err != nil {
		return 0, numberError(err)
	}
	if most < 0 || n > uint64(most) {
		return 0, invalid("a number of %d, at most %d is possible", n, most)
	}
	return int64(n), nil
}

func (d *Reader) signed() (int64, error) {
	n, err := binary.ReadVarint(d.in)
	if err != nil {
		return 0, numberError(err)
	}
	if n > MaxFile || n < -MaxFile {
		return 0, invalid("a distance of %d", n)
	}
	return n, nil
}

// Read implements io.Reader.
func (d *Reader) Read(p []byte) (int, error) {
	for d.err == nil {
		n, err := d.read(p)
		if err != nil {
			d.err = err
			if !errors.Is(err, io.EOF) {
				d.err = d.fault(err)
			}
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, d.err
}

// errMore says that the delta makes more than it may.
func (d *Reader) errMore() error { return invalid("it makes more than %d bytes", d.size) }

// take counts bytes of the tar that were promised.
func (d *Reader) take(n int64) error {
	if n > d.size-d.done {
		return d.errMore()
	}
	d.done += n
	return nil
}

// some is take for a record or a piece, which make at least a byte: without end they would be
// nothing.
func (d *Reader) some(n int64) error {
	if n == 0 {
		return invalid("a part that makes nothing")
	}
	return d.take(n)
}

// read returns bytes, or advances to the next record or chunk. It returns io.EOF at the end of the delta.
func (d *Reader) read(p []byte) (int, error) {
	switch {
	case len(d.out) > 0:
		n := copy(p, d.out)
		d.out = d.out[n:]
		return n, nil
	case d.literal > 0:
		n, err := d.in.Read(p[:min(int64(len(p)), d.literal)])
		d.literal -= int64(n)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	case d.equal > 0:
		p = p[:min(int64(len(p)), d.equal)]
		if err := d.readOld(p, d.ref.Size-d.equal); err != nil {
			return 0, err
		}
		d.equal -= int64(len(p))
		return len(p), nil
	case d.section.left > 0:
		return 0, notEOF(d.nextChunk())
	case d.section.open:
		return 0, notEOF(d.nextSection())
	}
	return 0, d.record()
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// record begins the next record.
func (d *Reader) record() error {
	if err := d.closeFile(); err != nil {
		return d.oldError(err)
	}
	kind, err := d.in.ReadByte()
	if err != nil {
		return notEOF(err)
	}
	switch kind {
	case recordEnd:
		return d.ended()
	case recordLiteral:
		if d.literal, err = d.number(d.size); err == nil {
			err = d.some(d.literal)
		}
	case recordEqual:
		if err = d.open(); err == nil {
			d.equal = d.ref.Size
			err = d.some(d.equal)
		}
	case recordChanged:
		if err = d.open(); err == nil {
			err = d.section.begin(d)
		}
	default:
		return invalid("a record of the kind %d", kind)
	}
	return notEOF(err)
}

// ended checks that nothing is missing and nothing follows.
func (d *Reader) ended() error {
	if d.done != d.size {
		return invalid("it makes %d bytes, want %d", d.done, d.size)
	}
	if _, err := d.in.ReadByte(); err == nil {
		return invalid("bytes behind its end")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return io.EOF
}

// open reads which old file comes next, and opens it.
func (d *Reader) open() error {
	if d.opened*headerSize > d.done {
		return invalid("%d old files for %d bytes of a tar", d.opened+1, d.done)
	}
	d.opened++
	layer, err := d.number(int64(len(d.layers)) - 1)
	if err != nil {
		return err
	}
	n, err := d.number(MaxPath)
	if err != nil {
		return err
	}
	path := make([]byte, n)
	if _, err := io.ReadFull(d.in, path); err != nil {
		return err
	}
	if !fs.ValidPath(string(path)) || n == 1 && path[0] == '.' {
		return invalid("an old file with the path %.200q", path)
	}
	distance, err := d.signed()
	if err != nil {
		return err
	}
	size, err := d.number(MaxFile)
	if err != nil {
		return err
	}
	d.ref = File{Layer: int(layer), Path: string(path), Offset: d.end + distance, Size: size}
	if d.ref.Offset < 0 || d.ref.Offset > MaxFile {
		return invalid("an old file at %d", d.ref.Offset)
	}
	d.end = d.ref.Offset + size
	if d.file, err = d.old.OpenOld(d.layers[layer], d.ref); err != nil {
		return d.oldError(err)
	}
	return nil
}

func (d *Reader) oldError(err error) error {
	return &OldError{Layer: d.layers[d.ref.Layer], Path: d.ref.Path, Err: err}
}

// readOld fills p with the old file's bytes from off on.
func (d *Reader) readOld(p []byte, off int64) error {
	n, err := d.file.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("it ends at byte %d, before %d", off+int64(n), off+int64(len(p)))
	}
	return d.oldError(err)
}

func numberError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", errFormat, err)
}

func rawDigest(d digest.Digest) ([]byte, error) {
	if err := bundle.CheckDigest(d); err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(d.Encoded())
	if err != nil {
		return nil, fmt.Errorf("digest %s: %w", d, err)
	}
	return raw, nil
}
