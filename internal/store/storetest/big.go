package storetest

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/opencontainers/go-digest"
)

// Big is a release of many small files, of which no more than a layer is in memory.
type Big struct {
	// Images have a layer each, with Files files in directories of 100.
	Images, Files int
	// Changed are the images, from the first one on, that are other ones than those of
	// the Big with none: what a new release brings.
	Changed int
}

// WriteBundle writes the bundle of b to path.
func (b Big) WriteBundle(t testing.TB, path string) {
	t.Helper()
	src := &bigSource{big: b, Source: NewSource(t, bundle.Expanded), numbers: make(map[digest.Digest]int)}
	for i := range b.Images {
		src.add(i)
	}
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := seekable.NewEncoder(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Write(t.Context(), out, src.Inventory(), src, enc, nil); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// layer is the plain tar of one image.
func (b Big) layer(t testing.TB, image int) []byte {
	t.Helper()
	const folder = 100
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	release := 1
	if image < b.Changed {
		release = 2
	}
	add := func(h tar.Header, content string) {
		h.Size, h.ModTime, h.Format = int64(len(content)), Epoch.Truncate(time.Second), tar.FormatUSTAR
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	for i := range b.Files {
		dir := fmt.Sprintf("usr/share/package-%04d", i/folder)
		if i%folder == 0 {
			add(tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}, "")
		}
		add(tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("%s/file-%02d.txt", dir, i%folder), Mode: 0o644},
			fmt.Sprintf("release %d image %d file %d\n", release, image, i))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// bigSource is a Source that forgets layers and makes them again.
type bigSource struct {
	*Source
	big     Big
	numbers map[digest.Digest]int // images, by the digests of layers and of their tables
}

func (s *bigSource) add(image int) {
	img := s.Add(Image{
		Repository: fmt.Sprintf("registry.example/big/image-%04d", image),
		Layers:     [][]byte{s.big.layer(s.t, image)},
		Labels:     map[string]string{"image": fmt.Sprint(image)},
	})
	d := img.Layers[0].DiffID
	for _, forgotten := range []digest.Digest{d, s.kinds[d].Table} {
		s.numbers[forgotten] = image
		delete(s.blobs, forgotten)
		delete(s.registry, forgotten)
	}
}

// OpenFrames implements archive.Content.
func (s *bigSource) OpenFrames(_ context.Context, d digest.Digest) (io.ReadCloser, []seekable.Frame, error) {
	image, ok := s.numbers[d]
	if !ok {
		return nil, nil, fmt.Errorf("%w: %s", bundle.ErrNoBlob, d)
	}
	content := s.big.layer(s.t, image)
	if s.kinds[d].Kind == bundle.KindFileTable {
		s.table(content)
		content = s.blobs[d]
		delete(s.blobs, d)
	}
	return io.NopCloser(bytes.NewReader(content)), nil, nil
}
