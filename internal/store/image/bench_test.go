package image_test

import (
	"archive/tar"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

const benchLayers = 40

// BenchmarkManyFiles imports an image of many small files, each with a content of its
// own, in 40 layers that are made as they are read, with the command's limit for the
// garbage collector. The resident memory is that of the process at its peak, which must
// stay below 256 MiB: run one size alone.
func BenchmarkManyFiles(b *testing.B) {
	debug.SetMemoryLimit(image.MemoryLimit(0))
	for _, files := range []int{100_000, 2_000_000} {
		b.Run(strconv.Itoa(files), func(b *testing.B) {
			needEROFS(b)
			src := newManyFiles(b, files/benchLayers)
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				res, err := image.Import(b.Context(), src, filepath.Join(b.TempDir(), "store.erofs"), store.ImportOptions{})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(res.Size)/1e6, "MB-image")
			}
			peak := peakMB(b)
			b.ReportMetric(peak, "MB-peak")
			if peak > (256<<20)/1e6 {
				b.Errorf("%.0f MB resident at the peak", peak)
			}
		})
	}
}

// manyFiles is a store.Source whose layers are made as they are read.
type manyFiles struct {
	files  int // of each layer
	inv    bundle.Inventory
	raw    []byte
	small  map[digest.Digest][]byte
	layers map[digest.Digest]int
	tables map[digest.Digest]string // files
}

func newManyFiles(b *testing.B, files int) *manyFiles {
	b.Helper()
	s := &manyFiles{
		files: files, small: make(map[digest.Digest][]byte), layers: make(map[digest.Digest]int), tables: make(map[digest.Digest]string),
	}
	s.inv = bundle.Inventory{Format: bundle.FormatV1, Layers: bundle.Expanded, Encoder: "bench"}
	add := func(kind bundle.BlobKind, v any) digest.Digest {
		data, err := json.Marshal(v)
		if err != nil {
			b.Fatal(err)
		}
		d := digest.FromBytes(data)
		s.small[d] = data
		s.inv.Blobs = append(s.inv.Blobs, bundle.Blob{Digest: d, Size: int64(len(data)), Kind: kind})
		return d
	}
	img := bundle.Image{}
	var manifest v1.Manifest
	var config v1.Image
	for i := range benchLayers {
		d, size, table := s.describe(b, i)
		s.layers[d] = i
		s.inv.Blobs = append(s.inv.Blobs, bundle.Blob{Digest: d, Size: size, Kind: bundle.KindLayer, Table: table})
		img.Layers = append(img.Layers, bundle.Layer{Digest: d, Size: size, MediaType: v1.MediaTypeImageLayer, DiffID: d, DiffSize: size})
		manifest.Layers = append(manifest.Layers, v1.Descriptor{MediaType: v1.MediaTypeImageLayer, Digest: d, Size: size})
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, d)
	}
	img.Config.Digest = add(bundle.KindConfig, config)
	img.Config.Size = int64(len(s.small[img.Config.Digest]))
	manifest.Config = v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: img.Config.Digest, Size: img.Config.Size}
	img.Digest = add(bundle.KindManifest, manifest)
	img.Ref = "quay.io/bench/many@" + img.Digest.String()
	s.inv.Images = []bundle.Image{img}
	var err error
	if s.raw, err = s.inv.Marshal(); err != nil {
		b.Fatal(err)
	}
	return s
}

// describe makes a layer once, for its digest and its file table.
func (s *manyFiles) describe(b *testing.B, layer int) (d digest.Digest, size int64, table digest.Digest) {
	b.Helper()
	path := filepath.Join(b.TempDir(), "table")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(s.write(w, layer)) }()
	sum := digest.SHA256.Digester()
	count := new(counter)
	tw := filetable.NewWriter(f)
	if err := filetable.Tabulate(io.TeeReader(r, io.MultiWriter(sum.Hash(), count)), tw, nil); err != nil {
		b.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		b.Fatal(err)
	}
	table = digest.FromString(fmt.Sprint("table ", layer))
	s.tables[table] = path
	return sum.Digest(), int64(*count), table
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// write writes the tar of a layer: twenty files to a directory.
func (s *manyFiles) write(w io.Writer, layer int) error {
	tw := tar.NewWriter(w)
	content := make([]byte, 5000)
	for i := range s.files {
		dir := fmt.Sprintf("usr/share/layer-%d/directory-%d/", layer, i/20)
		if i%20 == 0 {
			if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}); err != nil {
				return err
			}
		}
		size := 100 + i*7919%1400
		if i%10 == 0 {
			size = len(content)
		}
		binary.LittleEndian.PutUint64(content, uint64(layer)<<32|uint64(i))
		h := &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("%sfile-%010d", dir, i), Mode: 0o644, Size: int64(size)}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := tw.Write(content[:size]); err != nil {
			return err
		}
	}
	return tw.Close()
}

func (s *manyFiles) Inventory() *bundle.Inventory { return &s.inv }
func (s *manyFiles) RawInventory() []byte         { return s.raw }

func (s *manyFiles) ReadBlob(_ context.Context, d digest.Digest) ([]byte, error) {
	return s.small[d], nil
}

func (s *manyFiles) OpenLayerUnverified(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(s.write(w, s.layers[d])) }()
	return r, nil
}

func (s *manyFiles) OpenTable(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	return os.Open(s.tables[d])
}

// peakMB is the largest resident size of the process so far.
func peakMB(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc")
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb * 1024 / 1e6
		}
	}
	return 0
}
