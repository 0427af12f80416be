package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/layout"
)

// sample is a made-up set of images, held in memory.
type sample struct {
	inv    bundle.Inventory
	blobs  map[digest.Digest][]byte
	frames map[digest.Digest][]byte
	sizes  map[digest.Digest][]seekable.Frame
}

func (s *sample) ReadBlob(_ context.Context, d digest.Digest) ([]byte, error) {
	b, ok := s.blobs[d]
	if !ok {
		return nil, fmt.Errorf("no blob %s", d)
	}
	return b, nil
}

func (s *sample) OpenFrames(_ context.Context, d digest.Digest) (io.ReadCloser, []seekable.Frame, error) {
	return io.NopCloser(bytes.NewReader(s.frames[d])), s.sizes[d], nil
}

func (s *sample) add(kind bundle.BlobKind, data []byte) digest.Digest {
	d := digest.FromBytes(data)
	if _, ok := s.blobs[d]; !ok {
		s.inv.Blobs = append(s.inv.Blobs, bundle.Blob{Digest: d, Size: int64(len(data)), Kind: kind})
	}
	s.blobs[d] = data
	return d
}

// addFrames adds a layer or a table, encoded as the staging side does it.
func (s *sample) addFrames(t testing.TB, enc *seekable.Encoder, kind bundle.BlobKind, data []byte, table digest.Digest) digest.Digest {
	t.Helper()
	d := digest.FromBytes(data)
	if _, ok := s.frames[d]; ok {
		return d
	}
	var buf bytes.Buffer
	w := enc.NewWriter(t.Context(), &buf)
	must(t, writeAll(w, data))
	must(t, archive.PadContent(w, int64(len(data))))
	frames, err := w.Close()
	must(t, err)
	s.frames[d], s.sizes[d] = buf.Bytes(), frames
	s.inv.Blobs = append(s.inv.Blobs, bundle.Blob{Digest: d, Size: int64(len(data)), Kind: kind, Table: table})
	return d
}

func writeAll(w io.Writer, p []byte) error {
	_, err := w.Write(p)
	return err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// layerTar returns the plain tar of a layer with some files.
func layerTar(t testing.TB, seed uint64, files, size int) []byte {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "etc/", Mode: 0o755}))
	for i := range files {
		data := make([]byte, size)
		for j := range data {
			data[j] = byte(rnd.IntN(16))
		}
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("etc/%d-%d", seed, i), Mode: 0o644, Size: int64(size)}))
		must(t, writeAll(w, data))
	}
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "etc/link", Linkname: "/etc/0"}))
	must(t, w.Close())
	return buf.Bytes()
}

// newSample makes three images over four layers, one of them shared, and a list.
func newSample(t testing.TB, jobs int, layerSize int) (*sample, *seekable.Encoder) {
	t.Helper()
	enc, err := seekable.NewEncoder(1, jobs)
	must(t, err)
	s := &sample{
		inv:    bundle.Inventory{Format: bundle.FormatV1, Layers: bundle.Expanded, Encoder: enc.Name()},
		blobs:  map[digest.Digest][]byte{},
		frames: map[digest.Digest][]byte{},
		sizes:  map[digest.Digest][]seekable.Frame{},
	}
	for n := range 3 {
		var diffIDs []digest.Digest
		manifest := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
		sizes := make(map[digest.Digest]int64)
		for _, seed := range []uint64{0, uint64(n + 1)} {
			data := layerTar(t, seed, 3, layerSize)
			var table bytes.Buffer
			tw := filetable.NewWriter(&table)
			must(t, filetable.Tabulate(bytes.NewReader(data), tw, nil))
			must(t, tw.Close())
			td := s.addFrames(t, enc, bundle.KindFileTable, table.Bytes(), "")
			d := s.addFrames(t, enc, bundle.KindLayer, data, td)
			diffIDs = append(diffIDs, d)
			sizes[d] = int64(len(data))
			manifest.Layers = append(manifest.Layers, v1.Descriptor{MediaType: v1.MediaTypeImageLayer, Digest: d, Size: int64(len(data))})
		}
		config, err := json.Marshal(v1.Image{Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs}, Author: fmt.Sprint(n)})
		must(t, err)
		manifest.Config = v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: s.add(bundle.KindConfig, config), Size: int64(len(config))}
		data, err := json.Marshal(manifest)
		must(t, err)
		s.add(bundle.KindManifest, data)
		img, err := bundle.DescribeImage(data, v1.MediaTypeImageManifest, config)
		must(t, err)
		img.Ref = "quay.io/test/image@" + img.Digest.String()
		if n == 0 {
			list, err := json.Marshal(v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []v1.Descriptor{{Digest: img.Digest}}})
			must(t, err)
			img.Index = s.add(bundle.KindIndex, list)
			img.Ref = "quay.io/test/image@" + img.Index.String()
			img.Names = []string{"quay.io/test/image:tag"}
		}
		for i := range img.Layers {
			img.Layers[i].DiffSize = sizes[img.Layers[i].DiffID]
		}
		readable, err := img.Readable()
		must(t, err)
		s.add(bundle.KindReadable, readable)
		s.inv.Images = append(s.inv.Images, img)
	}
	return s, enc
}

func writeSample(t testing.TB, jobs, layerSize int) []byte {
	t.Helper()
	s, enc := newSample(t, jobs, layerSize)
	out := written(t, s, enc)
	return out.Bytes()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	s, enc := newSample(t, 2, 3<<20) // layers of several frames
	out := written(t, s, enc)
	r, err := archive.NewReader(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()))
	must(t, err)
	if got := len(r.Inventory().Images); got != 3 {
		t.Fatalf("%d images, want 3", got)
	}
	for d, want := range s.blobs {
		got, err := r.ReadBlob(t.Context(), d)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("blob %s came back changed", d)
		}
	}
	for _, b := range r.Inventory().Blobs {
		if b.Kind != bundle.KindLayer {
			continue
		}
		l, err := r.OpenLayer(t.Context(), b.Digest)
		must(t, err)
		if _, err := io.Copy(io.Discard, layout.NewVerifier(l, b.Digest, b.Size)); err != nil {
			t.Errorf("layer %s: %v", b.Digest, err)
		}
		must(t, l.Close())
		checkTable(t, r, b)
	}
	if _, err := r.ReadBlob(t.Context(), digest.FromString("none")); !errors.Is(err, bundle.ErrNoBlob) {
		t.Errorf("a blob that is not there: %v", err)
	}
	rep, err := archive.Verify(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()), archive.VerifyOptions{Jobs: 2})
	must(t, err)
	if len(rep.Damage) > 0 || rep.Blobs != len(s.inv.Blobs) {
		t.Errorf("verify of a whole bundle: %+v", rep)
	}
}

func checkTable(t *testing.T, r *archive.Reader, layer bundle.Blob) {
	t.Helper()
	f, err := r.OpenTable(t.Context(), layer.Table)
	must(t, err)
	defer f.Close()
	table := filetable.NewReader(f)
	var names []string
	for {
		e, err := table.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		names = append(names, e.Name)
	}
	if len(names) != 5 || names[4] != "etc/link" {
		t.Errorf("file table of %s: %q", layer.Digest, names)
	}
}

// Any zstd and tar tool reads a bundle: an OCI image layout comes out.
func TestPlainTools(t *testing.T) {
	t.Parallel()
	data := writeSample(t, 1, 1000)
	z, err := zstd.NewReader(bytes.NewReader(data))
	must(t, err)
	defer z.Close()
	r := tar.NewReader(z)
	var names []string
	files := make(map[string][]byte)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if h.Mode != 0o444 || h.Uid != 0 || !h.ModTime.IsZero() && h.ModTime.Unix() != 0 || h.Uname != "" {
			t.Errorf("member %s: %+v", h.Name, h)
		}
		names = append(names, h.Name)
		files[h.Name], err = io.ReadAll(r)
		must(t, err)
	}
	if want := []string{"inventory.json", "oci-layout", "index.json"}; !slices.Equal(names[:3], want) {
		t.Errorf("the first members are %q, want %q", names[:3], want)
	}
	index, err := layout.ParseIndex(bytes.NewReader(files["index.json"]))
	must(t, err)
	if len(index.Manifests) != 4 {
		t.Errorf("%d entries in the index, want 4", len(index.Manifests))
	}
	for _, m := range index.Manifests {
		var manifest v1.Manifest
		must(t, json.Unmarshal(files[layout.BlobPath(m.Digest)], &manifest))
		for _, l := range append(manifest.Layers, manifest.Config) {
			if got := digest.FromBytes(files[layout.BlobPath(l.Digest)]); got != l.Digest {
				t.Errorf("blob %s is %s", l.Digest, got)
			}
		}
	}
}

func TestDeterministic(t *testing.T) {
	t.Parallel()
	want := digest.FromBytes(writeSample(t, 1, 3<<20))
	for _, jobs := range []int{2, 16} {
		if got := digest.FromBytes(writeSample(t, jobs, 3<<20)); got != want {
			t.Errorf("%d jobs: %s, 1 job: %s", jobs, got, want)
		}
	}
}

// A flipped byte is found wherever it is; the tail, which no digest of a blob
// covers, is tried whole.
func TestVerifyFindsFlippedBytes(t *testing.T) {
	t.Parallel()
	data := writeSample(t, 1, 300)
	for i := 0; i < len(data); i++ {
		if i < len(data)-400 {
			i += 6
		}
		bad := bytes.Clone(data)
		bad[i] ^= 0x10
		rep, err := archive.Verify(t.Context(), bytes.NewReader(bad), int64(len(bad)), archive.VerifyOptions{})
		if err != nil {
			if !errors.Is(err, bundle.ErrDamaged) && !errors.Is(err, bundle.ErrInventory) {
				t.Fatalf("byte %d: %v", i, err)
			}
			continue
		}
		if len(rep.Damage) == 0 {
			t.Fatalf("byte %d: the damage was not found", i)
		}
		for _, d := range rep.Damage {
			if strings.HasPrefix(d.Member, "blobs/") && d.Blob == "" {
				t.Errorf("byte %d: %v names no blob", i, d)
			}
		}
	}
}

func TestVerifyNamesBlobAndImages(t *testing.T) {
	t.Parallel()
	s, enc := newSample(t, 1, 1000)
	out := written(t, s, enc)
	for d, frames := range s.frames {
		bad := bytes.Clone(out.Bytes())
		at := bytes.Index(bad, frames)
		bad[at+len(frames)/2] ^= 1
		rep, err := archive.Verify(t.Context(), bytes.NewReader(bad), int64(len(bad)), archive.VerifyOptions{Jobs: 4})
		must(t, err)
		if len(rep.Damage) == 0 || rep.Damage[0].Blob != d {
			t.Fatalf("damage in %s: found %v", d, rep.Damage)
		}
		var want []string
		for _, img := range s.inv.Images {
			for _, l := range img.Layers {
				if l.DiffID == d || tableOf(s, l.DiffID) == d {
					want = append(want, img.Ref)
				}
			}
		}
		slices.Sort(want)
		if !slices.Equal(rep.Images, slices.Compact(want)) {
			t.Errorf("damage in %s hurts %q, want %q", d, rep.Images, want)
		}
	}
}

func tableOf(s *sample, layer digest.Digest) digest.Digest {
	for _, b := range s.inv.Blobs {
		if b.Digest == layer {
			return b.Table
		}
	}
	return ""
}

func TestVerifyCutShort(t *testing.T) {
	t.Parallel()
	data := writeSample(t, 1, 1000)
	for _, n := range []int{0, 1, 100, len(data) / 4, len(data) / 2, len(data) - 200, len(data) - 1} {
		rep, err := archive.Verify(t.Context(), bytes.NewReader(data[:n]), int64(n), archive.VerifyOptions{})
		switch {
		case err != nil && !errors.Is(err, bundle.ErrDamaged):
			t.Errorf("%d bytes of %d: %v", n, len(data), err)
		case err == nil && len(rep.Damage) == 0:
			t.Errorf("%d bytes of %d: no damage found", n, len(data))
		case err == nil && n < len(data)/2 && len(rep.Images) == 0:
			t.Errorf("%d bytes of %d: no image is hurt", n, len(data))
		}
		if _, err := archive.NewReader(t.Context(), bytes.NewReader(data[:n]), int64(n)); !errors.Is(err, bundle.ErrDamaged) {
			t.Errorf("opening %d bytes of %d: %v", n, len(data), err)
		}
	}
}

// A bundle whose digests all agree with one another, but not with what the
// images say, is damaged all the same.
func TestVerifyHoldsInventoryToManifests(t *testing.T) {
	t.Parallel()
	s, enc := newSample(t, 1, 100)
	s.inv.Images[1].Layers[0].Size++
	out := written(t, s, enc)
	rep, err := archive.Verify(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()), archive.VerifyOptions{})
	must(t, err)
	if len(rep.Damage) != 1 || !errors.Is(rep.Damage[0], bundle.ErrChain) || len(rep.Images) != 1 {
		t.Errorf("found %v in %q", rep.Damage, rep.Images)
	}
}

func TestVerifyHoldsTablesToLayers(t *testing.T) {
	t.Parallel()
	s, enc := newSample(t, 1, 100)
	var tables []digest.Digest
	for _, b := range s.inv.Blobs {
		if b.Kind == bundle.KindFileTable {
			tables = append(tables, b.Digest)
		}
	}
	for i, b := range s.inv.Blobs {
		if b.Table == tables[0] {
			s.inv.Blobs[i].Table = tables[1]
		}
	}
	out := written(t, s, enc)
	rep, err := archive.Verify(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()), archive.VerifyOptions{})
	must(t, err)
	if len(rep.Damage) != 1 || !strings.Contains(rep.Damage[0].Error(), "file table") {
		t.Errorf("found %v", rep.Damage)
	}
}
