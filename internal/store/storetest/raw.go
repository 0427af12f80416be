package storetest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/layout"
)

// WriteRaw writes a bundle to path whose inventory.json is inventory, whatever that says;
// archive.Write would refuse to. Frames, seek table, checksum and the members' order are
// right. Its blobs are those that the inventory lists, as they are; one that the source
// does not have is left out.
func (s *Source) WriteRaw(t testing.TB, path string, inventory []byte) {
	t.Helper()
	var inv bundle.Inventory
	index := []byte("{}")
	if json.Unmarshal(inventory, &inv) == nil {
		if data, err := inv.IndexBytes(); err == nil {
			index = data
		}
	}
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	member := func(name string, data []byte) {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o444, Format: tar.FormatUSTAR})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	member("inventory.json", inventory)
	member(v1.ImageLayoutFile, []byte(layout.Marker))
	member(v1.ImageIndexFile, index)
	for _, b := range inv.Blobs {
		if data, ok := s.blobs[b.Digest]; ok {
			member(layout.BlobPath(b.Digest), data)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	writeFrames(t, path, content.Bytes())
}

// writeFrames writes a tar as a bundle.
func writeFrames(t testing.TB, path string, content []byte) {
	t.Helper()
	enc, err := seekable.NewEncoder(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	var file []byte
	var frames []seekable.Frame
	for len(content) > 0 {
		n := min(len(content), seekable.FrameSize)
		data := enc.Encode(content[:n], nil)
		file = append(file, data...)
		frames = append(frames, seekable.Frame{Compressed: int64(len(data)), Content: int64(n)})
		content = content[n:]
	}
	end := len(file)
	file = seekable.AppendChecksum(file, sha256.Sum256(file))
	frames = append(frames, seekable.Frame{Compressed: int64(len(file) - end)})
	if file, err = seekable.AppendTable(file, frames); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
}
