// Package filetable reads and writes file tables: what the tar of a layer has, entry
// by entry.
package filetable

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
)

// tableMagic is the first line of a file table.
const tableMagic = "nodeseal file table v1\n"

// maxTableName bounds a name in a file table. Linux paths end at 4096 bytes;
// tars may say more, and what says much more is no layer.
const maxTableName = 1 << 16

// Entry is one tar entry of a layer, as a file table lists it.
type Entry struct {
	// Name is the entry's name, as the tar has it.
	Name string
	// Type is the tar type flag; old-style regular files are tar.TypeReg.
	Type byte
	// Size is the length of the content in bytes, 0 where Type has none.
	Size int64
	// SHA256 is the digest of the content of a regular file.
	SHA256 [sha256.Size]byte
}

// Writer writes a file table. It is for one goroutine.
type Writer struct {
	w   *bufio.Writer
	buf []byte
	err error
}

// NewWriter starts a file table on w. Close must be called.
func NewWriter(w io.Writer) *Writer {
	t := &Writer{w: bufio.NewWriterSize(w, 64<<10)}
	_, t.err = t.w.WriteString(tableMagic)
	return t
}

// Add appends an entry.
func (t *Writer) Add(e Entry) error {
	if t.err != nil {
		return t.err
	}
	if e.Size < 0 || len(e.Name) > maxTableName {
		return fmt.Errorf("tar entry with a name of %d bytes and %d bytes of content", len(e.Name), e.Size)
	}
	t.buf = append(t.buf[:0], e.Type)
	t.buf = binary.AppendUvarint(t.buf, uint64(len(e.Name)))
	t.buf = append(t.buf, e.Name...)
	t.buf = binary.AppendUvarint(t.buf, uint64(e.Size))
	if e.Type == tar.TypeReg {
		t.buf = append(t.buf, e.SHA256[:]...)
	}
	_, t.err = t.w.Write(t.buf)
	return t.err
}

// Close writes what is buffered. It does not close the underlying writer.
func (t *Writer) Close() error {
	if t.err != nil {
		return t.err
	}
	return t.w.Flush()
}

// errTable is the cause of a DamageError about a file table.
var errTable = errors.New("file table is not valid")

// Reader reads a file table. It is for one goroutine.
type Reader struct {
	r       *bufio.Reader
	name    []byte
	started bool
}

// NewReader returns a Reader over r, which starts at a table's first byte.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10)}
}

// Next returns the next entry, and io.EOF behind the last one. The error wraps
// bundle.ErrDamaged where the table breaks the format.
func (t *Reader) Next() (Entry, error) {
	if !t.started {
		magic := make([]byte, len(tableMagic))
		if _, err := io.ReadFull(t.r, magic); err != nil {
			return Entry{}, tableError(err)
		}
		if string(magic) != tableMagic {
			return Entry{}, fmt.Errorf("%w: %w: it starts with %q", bundle.ErrDamaged, errTable, magic)
		}
		t.started = true
	}
	var e Entry
	var err error
	if e.Type, err = t.r.ReadByte(); err != nil {
		if errors.Is(err, io.EOF) {
			return Entry{}, io.EOF
		}
		return Entry{}, tableError(err)
	}
	length, err := t.uvarint()
	if err != nil {
		return Entry{}, tableError(err)
	}
	if length > maxTableName {
		return Entry{}, fmt.Errorf("%w: %w: a name of %d bytes", bundle.ErrDamaged, errTable, length)
	}
	if uint64(cap(t.name)) < length {
		t.name = make([]byte, maxTableName)
	}
	t.name = t.name[:length]
	if _, err := io.ReadFull(t.r, t.name); err != nil {
		return Entry{}, tableError(err)
	}
	e.Name = string(t.name)
	size, err := t.uvarint()
	if err != nil {
		return Entry{}, tableError(err)
	}
	if e.Size = int64(size); e.Size < 0 {
		return Entry{}, fmt.Errorf("%w: %w: a size of %d", bundle.ErrDamaged, errTable, size)
	}
	if e.Type == tar.TypeReg {
		if _, err := io.ReadFull(t.r, e.SHA256[:]); err != nil {
			return Entry{}, tableError(err)
		}
	}
	return e, nil
}

// uvarint reads a number. encoding/binary's reader has an error of its own for
// one that is too long, which cannot be told from those of the file.
func (t *Reader) uvarint() (uint64, error) {
	var buf [binary.MaxVarintLen64]byte
	for i := range buf {
		b, err := t.r.ReadByte()
		if err != nil {
			return 0, err
		}
		if buf[i] = b; b < 0x80 {
			if v, n := binary.Uvarint(buf[:i+1]); n > 0 {
				return v, nil
			}
			break
		}
	}
	return 0, fmt.Errorf("%w: a number that is too long", errTable)
}

// tableError turns the end of a table inside of an entry into damage.
func tableError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w: cut short", bundle.ErrDamaged, errTable)
	}
	if errors.Is(err, errTable) {
		return fmt.Errorf("%w: %w", bundle.ErrDamaged, err)
	}
	return fmt.Errorf("reading file table: %w", err)
}

// Tabulate reads the plain tar of a layer to its end and adds its entries
// to t. It is how every file table is made. Where rules is not nil every member is
// held to the rules for layers: the error is a *layerrules.Error where one is refused,
// and nothing else is wrong; the table is complete then.
func Tabulate(layer io.Reader, t *Writer, rules *layerrules.Checker) error {
	r := tar.NewReader(layer)
	var refused error
	hash := sha256.New()
	buf := make([]byte, 64<<10)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading layer: %w", err)
		}
		if rules != nil && refused == nil {
			_, refused = rules.Add(layerrules.OfHeader(h))
		}
		e := Entry{Name: h.Name, Type: h.Typeflag}
		if h.Typeflag == tar.TypeReg {
			hash.Reset()
			if e.Size, err = io.CopyBuffer(onlyWriter{hash}, r, buf); err != nil { //nolint:gosec // a plain tar into a hash: nothing grows
				return fmt.Errorf("reading layer: %s: %w", h.Name, err)
			}
			hash.Sum(e.SHA256[:0])
		}
		if err := t.Add(e); err != nil {
			return err
		}
	}
	// What follows the tar's end belongs to the layer's digest all the same.
	if _, err := io.CopyBuffer(io.Discard, onlyReader{layer}, buf); err != nil {
		return fmt.Errorf("reading layer: %w", err)
	}
	if rules != nil && refused == nil {
		refused = rules.End()
	}
	return refused
}

// onlyWriter and onlyReader hide other methods, so that io.CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }

type onlyReader struct{ io.Reader }
