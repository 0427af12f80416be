//go:build attacks

package attacks

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/compression"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/layout"
)

// content gives the bytes of a blob, from their beginning.
type content func() io.Reader

// measure returns the digest and the length of a content.
func measure(t *testing.T, c content) (digest.Digest, int64) {
	t.Helper()
	sum := digest.SHA256.Digester()
	n, err := io.Copy(sum.Hash(), c())
	must(t, err)
	return sum.Digest(), n
}

// release is a bundle in the making, of which no layer is in memory.
type release struct {
	inv   bundle.Inventory
	blobs map[digest.Digest]content
	frame int // content of each frame
	// frames is how many there are in all: the 1,024 bytes at the end of the tar are cut into as
	// many as are missing, few less than that. 0 is as many as come of it.
	frames int
}

// newRelease returns an empty release whose frames hold frame bytes.
func newRelease(form bundle.LayerForm, frame int) *release {
	return &release{
		inv:   bundle.Inventory{Format: bundle.FormatV1, Layers: form, Encoder: "attacks"},
		blobs: make(map[digest.Digest]content), frame: frame,
	}
}

func (r *release) blob(t *testing.T, kind bundle.BlobKind, c content) digest.Digest {
	t.Helper()
	d, n := measure(t, c)
	if _, ok := r.blobs[d]; !ok {
		r.inv.Blobs = append(r.inv.Blobs, bundle.Blob{Digest: d, Size: n, Kind: kind})
	}
	r.blobs[d] = c
	return d
}

func (r *release) json(t *testing.T, kind bundle.BlobKind, v any) digest.Digest {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	return r.blob(t, kind, func() io.Reader { return bytes.NewReader(data) })
}

// add adds an image of one layer: its plain tar, and of original layers the registry's
// bytes. The configuration gets a label of that many bytes.
func (r *release) add(t *testing.T, plain, registry content, label int) {
	t.Helper()
	diffID, size := measure(t, plain)
	number := len(r.inv.Images)
	l := bundle.Layer{DiffID: diffID, DiffSize: size, Digest: diffID, Size: size, MediaType: v1.MediaTypeImageLayer}
	if r.inv.Layers == bundle.Original {
		l.Digest = r.blob(t, bundle.KindLayer, registry)
		_, l.Size = measure(t, registry)
	} else if _, ok := r.blobs[diffID]; !ok {
		r.blob(t, bundle.KindLayer, plain)
		at := len(r.inv.Blobs) - 1
		var table bytes.Buffer
		w := filetable.NewWriter(&table)
		must(t, filetable.Tabulate(plain(), w, nil))
		must(t, w.Close())
		r.inv.Blobs[at].Table = r.blob(t, bundle.KindFileTable, func() io.Reader { return bytes.NewReader(table.Bytes()) })
	}
	config := r.blob(t, bundle.KindConfig, func() io.Reader {
		return io.MultiReader(
			strings.NewReader(`{"architecture":"amd64","os":"linux","config":{"Labels":{"x":"`+fmt.Sprint(number)),
			&repeated{each: "a", left: label}, strings.NewReader(`"}},"rootfs":{"type":"layers","diff_ids":["`+diffID.String()+`"]}}`))
	})
	_, configSize := measure(t, r.blobs[config])
	manifest := r.json(t, bundle.KindManifest, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: config, Size: configSize},
		Layers: []v1.Descriptor{{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size}},
	})
	r.inv.Images = append(r.inv.Images, bundle.Image{
		Ref: fmt.Sprintf("registry.example/a/image-%d@%s", number, manifest), Digest: manifest,
		MediaType: v1.MediaTypeImageManifest, Platform: &v1.Platform{OS: "linux", Architecture: "amd64"},
		Config: bundle.Config{Digest: config, Size: configSize}, Layers: []bundle.Layer{l},
	})
}

// write writes the bundle.
func (r *release) write(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.tar.zst")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	inventory, err := r.inv.Marshal()
	must(t, err)
	index, err := r.inv.IndexBytes()
	must(t, err)
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true),
		zstd.WithEncoderLevel(zstd.SpeedFastest))
	must(t, err)
	sum := sha256.New()
	out := io.MultiWriter(f, sum)
	var frames []seekable.Frame
	buf := make([]byte, r.frame)
	put := func(c io.Reader) {
		for {
			n, err := io.ReadFull(c, buf)
			if n > 0 {
				data := enc.EncodeAll(buf[:n], nil)
				_, werr := out.Write(data)
				must(t, werr)
				frames = append(frames, seekable.Frame{Compressed: int64(len(data)), Content: int64(n)})
			}
			if err != nil {
				return
			}
		}
	}
	member := func(name string, c io.Reader, size int64) {
		var head bytes.Buffer
		must(t, tar.NewWriter(&head).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o444, Format: tar.FormatUSTAR}))
		put(io.MultiReader(&head, c, bytes.NewReader(make([]byte, -size&511))))
	}
	member("inventory.json", bytes.NewReader(inventory), int64(len(inventory)))
	member(v1.ImageLayoutFile, bytes.NewReader([]byte(layout.Marker)), int64(len(layout.Marker)))
	member(v1.ImageIndexFile, bytes.NewReader(index), int64(len(index)))
	for _, b := range r.inv.Blobs {
		member(layout.BlobPath(b.Digest), r.blobs[b.Digest](), b.Size)
	}
	end := make([]byte, 1024)
	for left := r.frames - len(frames) - 1; left > 1; left-- { // the checksum is a frame, too
		put(bytes.NewReader(end[:1]))
		end = end[1:]
	}
	put(bytes.NewReader(end))
	if r.frames > 0 && len(frames)+1 != r.frames {
		t.Fatalf("%d frames are missing", r.frames-1-len(frames))
	}
	end = seekable.AppendChecksum(nil, [32]byte(sum.Sum(nil)))
	frames = append(frames, seekable.Frame{Compressed: int64(len(end))})
	_, err = f.Write(append(end, seekTable(frames)...))
	must(t, err)
	must(t, enc.Close())
	return path
}

// seekTable is the seek table of frames, also of more than there may be.
func seekTable(frames []seekable.Frame) []byte {
	u32 := binary.LittleEndian.AppendUint32
	table := u32(u32(nil, 0x184D2A5E), uint32(len(frames)*8+9))
	for _, f := range frames {
		table = u32(u32(table, uint32(f.Compressed)), uint32(f.Content))
	}
	return u32(append(u32(table, uint32(len(frames))), 0), 0x8F92EAB1)
}

// tarHead is the tar header of a file.
func tarHead(t *testing.T, name string, size int64) []byte {
	t.Helper()
	var buf bytes.Buffer
	must(t, tar.NewWriter(&buf).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, Format: tar.FormatUSTAR}))
	return buf.Bytes()
}

// zeros is a layer of one file of size zeros, a multiple of 128 KiB.
func zeros(t *testing.T, name string, size int) content {
	return func() io.Reader {
		return io.MultiReader(bytes.NewReader(tarHead(t, name, int64(size))), &repeated{each: "\x00", left: size + 1024})
	}
}

// windowed is the layer of zeros as a zstd frame that asks for a window of 2^log bytes
// (RFC 8878).
func windowed(t *testing.T, name string, size, log int) content {
	block := func(out []byte, kind, size int, data ...byte) []byte {
		h := size<<3 | kind<<1
		return append(append(out, byte(h), byte(h>>8), byte(h>>16)), data...)
	}
	out := block([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, byte(log-10) << 3}, 0, 512, tarHead(t, name, int64(size))...)
	for range size / (128 << 10) {
		out = block(out, 1, 128<<10, 0)
	}
	out = block(out, 0, 1024, make([]byte, 1024)...)
	out[len(out)-1024-3] |= 1 // the last block
	return func() io.Reader { return bytes.NewReader(out) }
}

// TestWindows imports layers whose decoders look back 128 MiB, each longer than that, and
// 32 MiB, many at once. What they share is besides what an import may take.
func TestWindows(t *testing.T) {
	for _, c := range []struct {
		log, layers, size int
		before            string
	}{{27, 8, 140 << 20, "exit 0, 186 MiB"}, {25, 16, 40 << 20, "exit 0, 337 MiB"}} {
		r := newRelease(bundle.Original, seekable.FrameSize)
		for i := range c.layers {
			name := fmt.Sprint("file", i)
			r.add(t, zeros(t, name, c.size), windowed(t, name, c.size, c.log), 0)
		}
		attack{
			Name: fmt.Sprintf("memory: %d layers of zstd that look back %d MiB, 8 jobs: import", c.layers, 1<<c.log>>20), Before: c.before,
			Memory: defaultMemory + compression.Budget,
		}.run(t, "import", r.write(t), "--no-seal", "--jobs", "8", "--store", filepath.Join(t.TempDir(), "store"))
	}
}

// TestLongFrames imports layers in frames of 16 MiB that do not compress, 8 at once.
func TestLongFrames(t *testing.T) {
	r := newRelease(bundle.Expanded, seekable.MaxFrame)
	for i := range 8 {
		const size = 40 << 20
		r.add(t, func() io.Reader {
			return io.MultiReader(bytes.NewReader(tarHead(t, "file", size)), io.LimitReader(rand.NewChaCha8([32]byte{byte(i)}), size), bytes.NewReader(make([]byte, 1024)))
		}, nil, 0)
	}
	path := r.write(t)
	attack{Name: "memory: layers in frames of 16 MiB, 8 jobs: import", Before: "exit 0, 411 MiB"}.
		run(t, "import", path, "--no-seal", "--jobs", "8", "--store", filepath.Join(t.TempDir(), "store"))
	attack{Name: "memory: layers in frames of 16 MiB, 8 jobs: import into an image", Before: "exit 0, 423 MiB"}.
		run(t, "import", path, "--jobs", "8", "--image-out", filepath.Join(t.TempDir(), "x.erofs"))
	attack{Name: "memory: layers in frames of 16 MiB: verify", Before: "exit 0, 229 MiB"}.run(t, "verify", path)
}

// TestConfigurations has 30 images whose configurations have 8 MiB each: held all at once,
// they would be too much.
func TestConfigurations(t *testing.T) {
	r := newRelease(bundle.Expanded, seekable.FrameSize)
	for range 30 {
		r.add(t, zeros(t, "file", 1<<20), nil, bundle.MaxSmallBlob-1024)
	}
	path := r.write(t)
	root, slots := disk(t)
	for _, c := range []struct {
		name string
		exit int
		args []string
	}{
		{"inspect", 0, []string{"inspect", path}},
		{"verify", 0, []string{"verify", path}},
		{"import", 0, append([]string{"import", path, "--no-seal"}, slots...)},
		{"status", 4, append([]string{"status"}, slots...)}, // there is no storage.conf
		{"verify of the store", 0, []string{"verify", filepath.Join(root, "a")}},
	} {
		attack{Name: "memory: 30 configurations of 8 MiB: " + c.name, Before: "not tried", Exit: c.exit}.run(t, c.args...)
	}
}
