package archive_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/memtest"
	"github.com/nodeseal/nodeseal/layout"
)

// packed returns a file with a tar, which may be none, in frames of some bytes, as
// whole as a bundle.
func packed(t testing.TB, enc *seekable.Encoder, tar []byte, size int) []byte {
	t.Helper()
	var file []byte
	var frames []seekable.Frame
	for len(tar) > 0 {
		n := min(len(tar), size)
		data := enc.Encode(tar[:n], nil)
		file = append(file, data...)
		frames = append(frames, seekable.Frame{Compressed: int64(len(data)), Content: int64(n)})
		tar = tar[n:]
	}
	before := len(file)
	file = seekable.AppendChecksum(file, sha256.Sum256(file))
	frames = append(frames, seekable.Frame{Compressed: int64(len(file) - before)})
	file, err := seekable.AppendTable(file, frames)
	must(t, err)
	return file
}

// FuzzReader reads bundles whose tar is what it is: what is refused is refused as
// damage, and what a verification passes is what its digests say.
func FuzzReader(f *testing.F) {
	s, enc := newSample(f, 1, 64)
	dec, err := zstd.NewReader(nil)
	must(f, err)
	tar, err := dec.DecodeAll(written(f, s, enc).Bytes(), nil)
	must(f, err)
	dec.Close()
	f.Add(tar, uint16(4096))
	f.Add(tar[:len(tar)-1024], uint16(512))
	f.Add(tar[:512], uint16(1))
	f.Add(bytes.Replace(tar, []byte(`"kind"`), []byte(`"sort"`), 1), uint16(60000))
	f.Fuzz(func(t *testing.T, tar []byte, size uint16) {
		file := packed(t, enc, tar, max(int(size), 256))
		var r *archive.Reader
		var err error
		memtest.Hold(t, 64<<20, func() { r, err = archive.NewReader(t.Context(), bytes.NewReader(file), int64(len(file))) })
		if err != nil {
			if !errors.Is(err, bundle.ErrDamaged) && !errors.Is(err, bundle.ErrInventory) {
				t.Errorf("error %v", err)
			}
			return
		}
		report, err := archive.Verify(t.Context(), bytes.NewReader(file), int64(len(file)), archive.VerifyOptions{Jobs: 1})
		must(t, err)
		for _, b := range r.Inventory().Blobs {
			err := readWhole(t, r, b)
			if err != nil && len(report.Damage) == 0 && r.Inventory().Base == nil {
				t.Errorf("blob %s: %v, and nothing was found", b.Digest, err)
			}
		}
	})
}

// readWhole reads a blob to its end and compares its digest.
func readWhole(t *testing.T, r *archive.Reader, b bundle.Blob) error {
	t.Helper()
	if b.Kind.Small() {
		_, err := r.ReadBlob(t.Context(), b.Digest)
		return err
	}
	open := r.OpenLayerUnverified
	if b.Kind == bundle.KindFileTable {
		open = r.OpenTable
	}
	blob, err := open(t.Context(), b.Digest)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, layout.NewVerifier(blob, b.Digest, b.Size))
	return errors.Join(err, blob.Close())
}
