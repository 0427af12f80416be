// Package archive reads, writes and verifies the file that a bundle is: one OCI
// image layout as a tar, compressed with zstd in the seekable format. Package
// bundle has the words for what is in it.
package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sort"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/budget"
	"github.com/nodeseal/nodeseal/layout"
)

// Reader reads a bundle from any place: each blob is reached without the ones
// before it. Its methods may be called at the same time.
type Reader struct {
	r      io.ReaderAt
	size   int64
	frames []span
	zstd   *zstd.Decoder
	trust  func(rawInventory []byte) error // may be nil

	inventory *bundle.Inventory
	raw       []byte
	head      []member // the members that are not blobs
	blobs     []member // in the inventory's order
	place     map[digest.Digest]int
}

// span places a frame in the file and its content in the tar.
type span struct {
	seekable.Frame
	file, tar int64
}

// NewReader opens the bundle in the first size bytes of r. It reads the seek
// table, the inventory and the index, and checks them and that the tar has
// exactly the members that the inventory asks for. The blobs are not read. The
// error wraps bundle.ErrDamaged or bundle.ErrInventory where the bytes are at fault.
func NewReader(ctx context.Context, r io.ReaderAt, size int64, opts ...Option) (*Reader, error) {
	frames, err := seekable.ReadTable(r, size)
	if err != nil {
		return nil, err
	}
	b, err := newReader(r, size, frames)
	if err != nil {
		return nil, err
	}
	for _, o := range opts {
		o(b)
	}
	if err := b.readHead(ctx); err != nil {
		return nil, err
	}
	if err := b.checkHead(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

func newReader(r io.ReaderAt, size int64, frames []seekable.Frame) (*Reader, error) {
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderMaxMemory(seekable.MaxFrame),
		zstd.WithDecoderMaxWindow(seekable.MaxFrame),
	)
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	return &Reader{r: r, size: size, frames: spans(frames), zstd: dec}, nil
}

func spans(frames []seekable.Frame) []span {
	out := make([]span, len(frames))
	var file, content int64
	for i, f := range frames {
		out[i] = span{Frame: f, file: file, tar: content}
		file += f.Compressed
		content += f.Content
	}
	return out
}

// ChecksumAt is the offset in the file of the frame with the checksum of all bytes before
// it (seekable.AppendChecksum).
func (b *Reader) ChecksumAt() int64 { return b.frames[len(b.frames)-1].file }

// tarSize is the length of the tar, with its trailer.
func (b *Reader) tarSize() int64 {
	last := b.frames[len(b.frames)-1]
	return last.tar + last.Content
}

// readHead reads the inventory and places all members: they follow from it.
func (b *Reader) readHead(ctx context.Context) error {
	m, raw, err := b.readInventory(ctx)
	if err != nil {
		return &bundle.DamageError{Member: memberInventory, Err: err}
	}
	if b.trust != nil {
		if err := b.trust(raw); err != nil {
			return err
		}
	}
	if b.inventory, err = bundle.ParseInventoryBytes(raw); err != nil {
		return err
	}
	b.raw = raw
	marker := member{name: memberLayout, sum: digest.FromString(layout.Marker), off: m.end(), size: int64(len(layout.Marker))}
	index := measured{hash: sha256.New()}
	if err := b.inventory.WriteIndex(&index); err != nil {
		return err
	}
	b.head = []member{m, marker, {
		name: memberIndex, sum: digest.NewDigest(digest.SHA256, index.hash), off: marker.end(), size: index.size,
	}}
	m = b.head[len(b.head)-1]
	b.blobs = blobMembers(b.inventory.Blobs, m.end())
	b.place = make(map[digest.Digest]int, len(b.blobs))
	for i, m := range b.blobs {
		b.place[m.blob] = i
	}
	return nil
}

// checkHead compares the other members before the blobs, and the length of the
// tar, with what follows from the inventory.
func (b *Reader) checkHead(ctx context.Context) error {
	for _, m := range b.head[1:] {
		r, err := b.openMember(ctx, m)
		if err != nil {
			return b.damage(m, err)
		}
		is := measured{hash: sha256.New()}
		_, err = io.Copy(&is, r)
		if err == nil && (is.size != m.size || digest.NewDigest(digest.SHA256, is.hash) != m.sum) {
			err = fmt.Errorf("%w: it does not follow from the inventory", bundle.ErrDamaged)
		}
		err = errors.Join(err, r.Close())
		if err != nil {
			return b.damage(m, err)
		}
	}
	last := b.head[len(b.head)-1]
	if n := len(b.blobs); n > 0 {
		last = b.blobs[n-1]
	}
	if want := last.end() + tarTrailer; b.tarSize() != want {
		return fmt.Errorf("%w: a tar of %d bytes, the inventory asks for %d", bundle.ErrDamaged, b.tarSize(), want)
	}
	return nil
}

// measured takes the digest and the length of what is written to it.
type measured struct {
	hash hash.Hash
	size int64
}

// Write implements io.Writer.
func (m *measured) Write(p []byte) (int, error) {
	m.size += int64(len(p))
	return m.hash.Write(p)
}

// readInventory reads the first member, whose size only its header tells.
func (b *Reader) readInventory(ctx context.Context) (member, []byte, error) {
	head := make([]byte, tarBlock)
	if err := b.readContent(ctx, head, 0); err != nil {
		return member{}, nil, err
	}
	h, err := tar.NewReader(bytes.NewReader(head)).Next()
	if err != nil {
		return member{}, nil, fmt.Errorf("%w: tar header: %w", bundle.ErrDamaged, err)
	}
	if h.Name != memberInventory || h.Size < 0 || h.Size > bundle.MaxInventory {
		return member{}, nil, fmt.Errorf("%w: tar member %q of %d bytes stands in its place", bundle.ErrDamaged, h.Name, h.Size)
	}
	m := member{name: h.Name, size: h.Size}
	r, err := b.openMember(ctx, m)
	if err != nil {
		return member{}, nil, err
	}
	data, err := readAll(r, m.size)
	m.sum = digest.FromBytes(data)
	return m, data, err
}

// readAll reads the size bytes of r and closes it.
func readAll(r io.ReadCloser, size int64) ([]byte, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(r, data)
	if err == nil {
		// The end shows that the padding is right too.
		if _, err = io.ReadFull(r, make([]byte, 1)); errors.Is(err, io.EOF) {
			err = nil
		}
	}
	return data, errors.Join(err, r.Close())
}

// readContent fills p with the tar's bytes from off.
func (b *Reader) readContent(ctx context.Context, p []byte, off int64) error {
	r := b.openTar(ctx, off, int64(len(p)))
	_, err := io.ReadFull(r, p)
	return errors.Join(err, r.Close())
}

// Inventory returns what the bundle holds. It must not be changed.
func (b *Reader) Inventory() *bundle.Inventory { return b.inventory }

// RawInventory returns inventory.json byte for byte. It must not be changed.
func (b *Reader) RawInventory() []byte { return b.raw }

// Size is the length of the bundle, in bytes.
func (b *Reader) Size() int64 { return b.size }

// ReadBlob returns a blob other than a layer or a file table, verified. The
// error wraps bundle.ErrDamaged when its bytes are others, bundle.ErrNoBlob when the bundle
// does not hold it.
func (b *Reader) ReadBlob(ctx context.Context, d digest.Digest) ([]byte, error) {
	m, err := b.member(d)
	if err != nil {
		return nil, err
	}
	if m.size > bundle.MaxSmallBlob {
		return nil, fmt.Errorf("blob %s: %d bytes are too many to read whole", d, m.size)
	}
	r, err := b.openMember(ctx, m)
	if err != nil {
		return nil, err
	}
	data, err := readAll(r, m.size)
	if err == nil && digest.FromBytes(data) != d {
		err = layout.ErrDigest
	}
	if err != nil {
		return nil, b.damage(m, err)
	}
	return data, nil
}

// OpenLayer returns the bytes of a layer blob as the bundle holds them: the plain
// tar if the layers are expanded, else the registry's bytes. Frames are decoded
// ahead. The bytes are held to the digest: the reader's io.EOF means that they were
// right, and other bytes end in an error that wraps bundle.ErrDamaged. The caller
// closes the reader.
//
// It waits until there is room in LayerBudget for the layer's frames. A goroutine has one
// layer open at a time, and opens a file table that it reads beside it before it.
func (b *Reader) OpenLayer(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	return b.openVerified(ctx, d, layers)
}

// OpenLayerUnverified is OpenLayer for a caller that hashes the bytes itself: the
// reader's io.EOF does not say that they have the digest. The reader is an io.WriterTo too.
func (b *Reader) OpenLayerUnverified(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	return b.open(ctx, d, layers)
}

// OpenTable returns the bytes of a file table, for a filetable.Reader. They are held
// to the digest as those of OpenLayer are. The caller closes the reader. It waits for
// room in TableBudget. A goroutine has one table open at a time, and no layer before it.
func (b *Reader) OpenTable(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	return b.openVerified(ctx, d, tables)
}

func (b *Reader) openVerified(ctx context.Context, d digest.Digest, memory *budget.Budget) (io.ReadCloser, error) {
	m, err := b.member(d)
	if err != nil {
		return nil, err
	}
	r, err := b.open(ctx, d, memory)
	if err != nil {
		return nil, err
	}
	return &verifiedReader{b: b, m: m, Verifier: layout.NewVerifier(r, d, m.size), Closer: r}, nil
}

// verifiedReader holds a member's content to its digest, and says which member
// was not what its digest names.
type verifiedReader struct {
	*layout.Verifier
	io.Closer
	b *Reader
	m member
}

// Read implements io.Reader.
func (r *verifiedReader) Read(p []byte) (int, error) {
	n, err := r.Verifier.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.b.damage(r.m, err)
	}
	return n, err
}

func (b *Reader) open(ctx context.Context, d digest.Digest, memory *budget.Budget) (io.ReadCloser, error) {
	m, err := b.member(d)
	if err != nil {
		return nil, err
	}
	giveBack, err := memory.Take(ctx, b.memory(m))
	if err != nil {
		return nil, err
	}
	r, err := b.openMember(ctx, m)
	if err != nil {
		giveBack()
		return nil, b.damage(m, err)
	}
	r.giveBack = giveBack
	return r, nil
}

func (b *Reader) member(d digest.Digest) (member, error) {
	i, ok := b.place[d]
	if !ok {
		return member{}, fmt.Errorf("blob %s: %w", d, bundle.ErrNoBlob)
	}
	return b.blobs[i], nil
}

// damage places err in m where the bundle's bytes are at fault; errors of the
// disk and of the context pass.
func (b *Reader) damage(m member, err error) error {
	var already *bundle.DamageError
	switch {
	case errors.As(err, &already):
		return err
	case errors.Is(err, bundle.ErrDamaged), errors.Is(err, layout.ErrDigest), errors.Is(err, layout.ErrSize):
		return &bundle.DamageError{Member: m.name, Blob: m.blob, Err: err}
	}
	return err
}

// openMember returns a reader over the content of m, whose header it checked
// and whose padding it checks at the end.
func (b *Reader) openMember(ctx context.Context, m member) (*memberReader, error) {
	want, err := memberHeader(m.name, m.size)
	if err != nil {
		return nil, err
	}
	r := b.openTar(ctx, m.off, memberLen(m.size))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if !bytes.Equal(got, want) {
		return nil, errors.Join(fmt.Errorf("%w: its tar header is another's", bundle.ErrDamaged), r.Close())
	}
	return &memberReader{b: b, m: m, r: r, left: m.size, giveBack: func() {}}, nil
}

// frameAt returns the number of the frame with the tar's byte off.
func (b *Reader) frameAt(off int64) int {
	return sort.Search(len(b.frames), func(i int) bool { return b.frames[i].tar+b.frames[i].Content > off })
}
