package push_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
)

// source is a bundle in memory.
type source struct {
	inv   bundle.Inventory
	blobs map[digest.Digest][]byte
}

func newSource() *source {
	return &source{inv: bundle.Inventory{Layers: bundle.Original}, blobs: make(map[digest.Digest][]byte)}
}

// Inventory implements push.Source.
func (s *source) Inventory() *bundle.Inventory { return &s.inv }

// ReadBlob implements push.Source.
func (s *source) ReadBlob(_ context.Context, d digest.Digest) ([]byte, error) {
	if data, ok := s.blobs[d]; ok {
		return data, nil
	}
	return nil, bundle.ErrDamaged
}

// OpenLayer implements push.Source.
func (s *source) OpenLayer(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	data, err := s.ReadBlob(ctx, d)
	return io.NopCloser(bytes.NewReader(data)), err
}

func (s *source) add(data []byte, kind bundle.BlobKind) digest.Digest {
	d := digest.FromBytes(data)
	if s.blobs[d] == nil {
		s.blobs[d] = data
		s.inv.Blobs = append(s.inv.Blobs, bundle.Blob{Digest: d, Size: int64(len(data)), Kind: kind})
	}
	return d
}

// leave leaves a blob to a base.
func (s *source) leave(data []byte) {
	d := digest.FromBytes(data)
	delete(s.blobs, d)
	i := slices.IndexFunc(s.inv.Blobs, func(b bundle.Blob) bool { return b.Digest == d })
	if s.inv.Base == nil {
		s.inv.Base = &bundle.Base{Inventory: digest.FromString("base")}
	}
	s.inv.Base.Blobs = append(s.inv.Base.Blobs, s.inv.Blobs[i])
	s.inv.Blobs = slices.Delete(s.inv.Blobs, i, i+1)
}

// image adds an image quay.example/PATH of layers, asked for by its digest.
func (s *source) image(path string, layers ...[]byte) *bundle.Image {
	var diffIDs []digest.Digest
	for _, l := range layers {
		diffIDs = append(diffIDs, digest.FromBytes(l)) // the tests do not unpack them
	}
	config := encode(v1.Image{
		Author: path, Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs},
	})
	m := v1.Manifest{MediaType: v1.MediaTypeImageManifest}
	m.SchemaVersion = 2
	m.Config = v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: s.add(config, bundle.KindConfig), Size: int64(len(config))}
	img := bundle.Image{MediaType: m.MediaType, Config: bundle.Config{Digest: m.Config.Digest, Size: m.Config.Size}}
	for _, l := range layers {
		d := s.add(l, bundle.KindLayer)
		named := d // as the registry has it
		if s.inv.Layers == bundle.Expanded {
			named = digest.FromString("gzip of " + d.String())
		}
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: v1.MediaTypeImageLayerGzip, Digest: named, Size: int64(len(l))})
		img.Layers = append(img.Layers, bundle.Layer{Digest: named, Size: int64(len(l)), DiffID: d, MediaType: v1.MediaTypeImageLayerGzip})
	}
	img.Digest = s.add(encode(m), bundle.KindManifest)
	img.Ref = "quay.example/" + path + "@" + img.Digest.String()
	s.inv.Images = append(s.inv.Images, img)
	return &s.inv.Images[len(s.inv.Images)-1]
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// listed makes img an instance of a list.
func (s *source) listed(img *bundle.Image, list []byte) {
	img.Index = s.add(list, bundle.KindIndex)
	img.Ref = "quay.example/ns/l@" + img.Index.String()
}
