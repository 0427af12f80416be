//go:build attacks

package attacks

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/nodeseal/nodeseal/bundle/seekable"
)

// repeated is a text that is each, many times, to a length.
type repeated struct {
	each string
	off  int
	left int
}

// Read implements io.Reader.
func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), r.left)
	r.left -= n
	if len(r.each) == 1 { // the long ones
		for i := range p[:n] {
			p[i] = r.each[0]
		}
		return n, nil
	}
	for i := range p[:n] {
		p[i] = r.each[r.off]
		r.off = (r.off + 1) % len(r.each)
	}
	return n, nil
}

// inventoryBomb writes a bundle whose inventory.json is before, each so often that all has
// size bytes, and after.
func inventoryBomb(t *testing.T, size int, before, each, after string) string {
	t.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	n := (size - len(before) - len(after)) / len(each) * len(each)
	size = len(before) + n + len(after)
	var head bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "inventory.json", Mode: 0o444, Size: int64(size), Format: tar.FormatUSTAR}); err != nil {
		t.Fatal(err)
	}
	content := io.MultiReader(&head, strings.NewReader(before), &repeated{each: each, left: n}, strings.NewReader(after),
		bytes.NewReader(make([]byte, -size&511+1024)))
	var file []byte
	var frames []seekable.Frame
	buf := make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(content, buf)
		if n == 0 {
			break
		}
		before := len(file)
		file = enc.EncodeAll(buf[:n], file)
		frames = append(frames, seekable.Frame{Compressed: int64(len(file) - before), Content: int64(n)})
		if err != nil {
			break
		}
	}
	end := len(file)
	file = seekable.AppendChecksum(file, sha256.Sum256(file))
	frames = append(frames, seekable.Frame{Compressed: int64(len(file) - end)})
	if file, err = seekable.AppendTable(file, frames); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.tar.zst")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const inventoryHead = `{"format":"nodeseal bundle v1","layers":"original","encoder":"x",`

// TestInventoryBombs opens bundles of a few kilobytes whose inventory is long and says nothing.
func TestInventoryBombs(t *testing.T) {
	image := `{"ref":"r","digest":"d","config":{"digest":"c"},`
	for _, c := range []struct {
		name, before, start, each, after string
		size                             int
	}{
		{"64 MiB of images that are {}", "14 GB", `"images":[`, `{},`, `{}]}`, 64 << 20},
		{"32 MiB of images that are {}", "not tried", `"images":[`, `{},`, `{}]}`, 32 << 20},
		{"32 MiB of layers that are {}", "not tried", `"images":[` + image + `"layers":[`, `{},`, `{}]}]}`, 32 << 20},
		{"32 MiB of empty names", "not tried", `"images":[` + image + `"names":[`, `"",`, `""]}]}`, 32 << 20},
		{"32 MiB of origins that are {}", "not tried", `"images":[` + image + `"from":[`, `{},`, `{}]}]}`, 32 << 20},
		{"32 MiB of brackets", "not tried", `"x":`, `[`, ``, 32 << 20},
		{"32 MiB of blanks", "not tried", ``, ` `, `"images":[],"blobs":[]}`, 32 << 20},
	} {
		attack{
			Name: "bombs: an inventory of " + c.name, Before: c.before,
			Exit: 4,
		}.run(t, "inspect", inventoryBomb(t, c.size, inventoryHead+c.start, c.each, c.after))
	}
}

// TestSeekTableBomb opens a sparse file whose seek table has millions of entries that are zero.
func TestSeekTableBomb(t *testing.T) {
	for _, c := range []struct {
		command, before string
	}{{"inspect", "3.7 GB"}, {"verify", "3.2 GB"}, {"import", "3.2 GB"}} {
		path := filepath.Join(t.TempDir(), "x.tar.zst")
		end := binary.LittleEndian.AppendUint32(nil, 1<<26-1)
		end = binary.LittleEndian.AppendUint32(append(end, 0), 0x8F92EAB1)
		f, err := os.Create(path)
		if err == nil {
			_, err = f.WriteAt(end, 512<<20)
		}
		if err == nil {
			const table = (1<<26-1)*8 + 9
			_, err = f.WriteAt(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 0x184D2A5E), table), 512<<20+9-table-8)
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		attack{
			Name: fmt.Sprintf("bombs: a seek table of 2^26 entries, all zero, in a sparse file: %s", c.command), Before: c.before,
			Exit: 4, Says: "bundle is damaged",
		}.run(t, c.command, path)
	}
}

// TestObjectBombs reads files of objects that are long and say nothing.
func TestObjectBombs(t *testing.T) {
	for _, c := range []struct {
		name, before, start, each, after string
		size, exit                       int
	}{
		{"700 MiB of blanks", "2 GB", "", " ", "", 700 << 20, 5},
		{"200 MiB of blanks in an item", "not tried", `{"items":[{`, " ", `}]}`, 200 << 20, 1},
		{"200 MiB of members", "not tried", `{"kind":"List",`, `"":1,`, `"":1}`, 200 << 20, 1},
		{"8 MiB of empty lists in YAML", "not tried", "kind: Pod\na:\n", "- \n", "", 8 << 20, 1},
		{"20 MiB of pods in one YAML list", "not tried", "items:\n", "- kind: Pod\n  metadata: {name: p, namespace: ns}\n", "kind: List\n", 20 << 20, 0},
	} {
		path := filepath.Join(t.TempDir(), "objects")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		n := (c.size - len(c.start) - len(c.after)) / len(c.each) * len(c.each)
		if _, err := io.Copy(f, io.MultiReader(strings.NewReader(c.start), &repeated{each: c.each, left: n}, strings.NewReader(c.after))); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		attack{Name: "bombs: objects: " + c.name, Before: c.before, Exit: c.exit}.run(t, "audit", "--objects", path)
	}
}
