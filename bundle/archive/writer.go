package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/layout"
)

// Content is where Write takes the blobs of a bundle from.
type Content interface {
	// ReadBlob returns a small blob (BlobKind.Small), verified.
	ReadBlob(ctx context.Context, d digest.Digest) ([]byte, error)
	// OpenFrames returns a layer or a file table as frames that an Encoder made:
	// the content and the zero bytes that fill its last block of 512. Without
	// frames the reader gives the content itself, verified, for Write to make frames
	// of: of what is compressed already frames that hold it as it is.
	// The caller closes the reader.
	OpenFrames(ctx context.Context, d digest.Digest) (io.ReadCloser, []seekable.Frame, error)
}

// Write writes the bundle that inv describes to w. It sorts inv in place and
// validates it first. written is called with the number of bytes of each write,
// and may be nil. The same inventory, content and encoder give the same bytes;
// their digest is returned. The caller syncs and renames; w holds nothing of use
// after an error.
func Write(ctx context.Context, w io.Writer, inv *bundle.Inventory, src Content, enc *seekable.Encoder, written func(n int64)) (digest.Digest, error) {
	inventory, err := inv.Marshal()
	if err != nil {
		return "", err
	}
	if len(inventory) > bundle.MaxInventory {
		return "", fmt.Errorf("the inventory has %d bytes, a bundle's has at most %d: make several bundles", len(inventory), bundle.MaxInventory)
	}
	if err := inv.Validate(); err != nil {
		return "", err
	}
	index, err := inv.IndexBytes()
	if err != nil {
		return "", err
	}
	bw := &writer{out: w, sum: sha256.New(), enc: enc, written: written}
	bw.member(memberInventory, inventory)
	bw.member(memberLayout, []byte(layout.Marker))
	bw.member(memberIndex, index)
	for _, b := range inv.Blobs {
		if err := ctx.Err(); err != nil {
			return "", context.Cause(ctx)
		}
		if err := bw.blob(ctx, b, src); err != nil {
			return "", fmt.Errorf("bundle: blob %s: %w", b.Digest, err)
		}
	}
	if err := bw.finish(); err != nil {
		return "", err
	}
	return digest.NewDigest(digest.SHA256, bw.sum), nil
}

// writer writes members as frames. Its first error stays.
type writer struct {
	out     io.Writer
	sum     hash.Hash
	enc     *seekable.Encoder
	frames  []seekable.Frame
	written func(int64)
	err     error
}

// Write passes p on to the file and its checksum, at the same time where it is
// long.
func (w *writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	hashed := make(chan struct{})
	hash := func() {
		w.sum.Write(p)
		close(hashed)
	}
	if len(p) < hashBeside {
		hash()
	} else {
		go hash()
	}
	n, err := w.out.Write(p)
	<-hashed // of more than was written only where that is an error
	if w.written != nil {
		w.written(int64(n))
	}
	w.err = err
	return n, err
}

// hashBeside is from how many bytes on it is worth to hash them on another
// processor while they are written.
const hashBeside = 64 << 10

// content writes p as frames.
func (w *writer) content(p []byte) {
	for len(p) > 0 && w.err == nil {
		n := min(len(p), seekable.FrameSize)
		data := w.enc.Encode(p[:n], nil)
		if _, err := w.Write(data); err == nil {
			w.frames = append(w.frames, seekable.Frame{Compressed: int64(len(data)), Content: int64(n)})
		}
		p = p[n:]
	}
}

// member writes a member whose content is in memory.
func (w *writer) member(name string, content []byte) {
	head, err := memberHeader(name, int64(len(content)))
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	all := append(head, content...)
	w.content(append(all, make([]byte, padding(int64(len(content))))...))
}

func (w *writer) blob(ctx context.Context, b bundle.Blob, src Content) error {
	name := layout.BlobPath(b.Digest)
	if b.Kind.Small() {
		data, err := src.ReadBlob(ctx, b.Digest)
		if err != nil {
			return err
		}
		if int64(len(data)) != b.Size {
			return fmt.Errorf("%d bytes, the inventory says %d", len(data), b.Size)
		}
		w.member(name, data)
		return w.err
	}
	head, err := memberHeader(name, b.Size)
	if err != nil {
		return err
	}
	w.content(head)
	r, frames, err := src.OpenFrames(ctx, b.Digest)
	if err != nil {
		return err
	}
	if len(frames) == 0 {
		err = w.makeFrames(ctx, b, r)
	} else {
		err = w.copyFrames(b, r, frames)
	}
	return errors.Join(err, r.Close())
}

// makeFrames writes content as frames: stored where it is compressed already.
func (w *writer) makeFrames(ctx context.Context, b bundle.Blob, r io.Reader) error {
	head := make([]byte, min(4, b.Size))
	if _, err := io.ReadFull(r, head); err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	content := io.MultiReader(bytes.NewReader(head), r)
	if !seekable.IsCompressed(head) {
		return w.encodeFrames(ctx, b.Size, content)
	}
	pad := padding(b.Size)
	s, frames, err := seekable.Store(io.MultiReader(io.LimitReader(content, b.Size), bytes.NewReader(make([]byte, pad))), b.Size+pad)
	if err != nil {
		return err
	}
	if err := w.copyFrames(b, s, frames); err != nil {
		return err
	}
	if n, _ := r.Read(head[:1]); n > 0 {
		return fmt.Errorf("more than %d bytes, the inventory says so many", b.Size)
	}
	return nil
}

// encodeFrames writes size bytes of content as frames.
func (w *writer) encodeFrames(ctx context.Context, size int64, r io.Reader) error {
	fw := w.enc.NewWriter(ctx, w)
	n, err := io.CopyBuffer(onlyWriter{fw}, onlyReader{r}, make([]byte, 256<<10))
	if err == nil {
		err = PadContent(fw, size)
	}
	frames, cerr := fw.Close()
	switch {
	case err == nil && cerr == nil && n != size:
		return fmt.Errorf("%d bytes, the inventory says %d", n, size)
	case err != nil || cerr != nil:
		return fmt.Errorf("encoding frames: %w", errors.Join(err, cerr))
	}
	w.frames = append(w.frames, frames...)
	return nil
}

func (w *writer) copyFrames(b bundle.Blob, r io.Reader, frames []seekable.Frame) error {
	var compressed, content int64
	for _, f := range frames {
		compressed += f.Compressed
		content += f.Content
	}
	if want := b.Size + padding(b.Size); content != want {
		return fmt.Errorf("frames of %d bytes, want %d", content, want)
	}
	n, err := copyAhead(w, r, compressed)
	if err != nil {
		return fmt.Errorf("copying frames: %w", err)
	}
	if n != compressed {
		return fmt.Errorf("frames: %d bytes, want %d", n, compressed)
	}
	w.frames = append(w.frames, frames...)
	return nil
}

// finish writes the tar's end, the checksum and the seek table.
func (w *writer) finish() error {
	w.content(make([]byte, tarTrailer))
	if w.err != nil {
		return fmt.Errorf("writing bundle: %w", w.err)
	}
	tail := seekable.AppendChecksum(nil, [32]byte(w.sum.Sum(nil)))
	w.frames = append(w.frames, seekable.Frame{Compressed: int64(len(tail))})
	tail, err := seekable.AppendTable(tail, w.frames)
	if err != nil {
		return err
	}
	if _, err := w.Write(tail); err != nil {
		return fmt.Errorf("writing bundle: %w", err)
	}
	return nil
}

// PadContent writes the zero bytes that fill the last block of size bytes of
// content: what a seekable.Writer for OpenFrames needs at its end.
func PadContent(w io.Writer, size int64) error {
	if size < 0 {
		return fmt.Errorf("padding for %d bytes", size)
	}
	_, err := w.Write(make([]byte, padding(size)))
	return err
}

// onlyWriter and onlyReader hide other methods, so that io.CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }

type onlyReader struct{ io.Reader }
