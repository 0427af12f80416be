package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/layout"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Source is a store.Source in memory.
type Source struct {
	t     testing.TB
	inv   bundle.Inventory
	blobs map[digest.Digest][]byte
	kinds map[digest.Digest]bundle.Blob
	// registry are the registry's bytes of layers, by digest, also where the
	// source has them expanded.
	registry map[digest.Digest][]byte
	lies     map[digest.Digest]bool // file tables that are given out for what they are not
}

// NewSource returns an empty source with layers in the given form.
func NewSource(t testing.TB, form bundle.LayerForm) *Source {
	return &Source{
		t:        t,
		inv:      bundle.Inventory{Format: bundle.FormatV1, Layers: form, Encoder: "storetest"},
		blobs:    make(map[digest.Digest][]byte),
		lies:     make(map[digest.Digest]bool),
		kinds:    make(map[digest.Digest]bundle.Blob),
		registry: make(map[digest.Digest][]byte),
	}
}

// Image is an image for a Source.
type Image struct {
	// Repository is the name that digests are appended to.
	Repository string
	Tags       []string
	// Layers are plain tars, base first.
	Layers [][]byte
	// Compression is "gzip", "zstd" or "" for none.
	Compression string
	// Created goes into the configuration, which has no time where it is "".
	Created string
	// Index puts the manifest into a list that the reference names.
	Index bool
	// Architecture is the platform's; "" is amd64.
	Architecture string
	// Labels tell configurations apart.
	Labels map[string]string
	// Annotation tells manifests with the same configuration apart.
	Annotation string
	// Claim is what the manifest calls the topmost layer; "" is its digest.
	Claim digest.Digest
	// Original keeps the registry's bytes of the layers.
	Original bool
}

// Add adds an image and returns its inventory entry.
func (s *Source) Add(img Image) *bundle.Image {
	s.t.Helper()
	arch := img.Architecture
	if arch == "" {
		arch = "amd64"
	}
	conf := map[string]any{
		"architecture": arch, "os": "linux",
		"config": map[string]any{"Labels": img.Labels, "Cmd": []string{"/bin/sh"}},
	}
	if img.Created != "" {
		conf["created"] = img.Created
	}
	m := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
	if img.Annotation != "" {
		m.Annotations = map[string]string{"test": img.Annotation}
	}
	entry := bundle.Image{MediaType: m.MediaType, Original: img.Original, Platform: &v1.Platform{OS: "linux", Architecture: arch}}
	var diffIDs []digest.Digest
	for i, plain := range img.Layers {
		l := s.layer(plain, img.Compression, img.Original)
		if i == len(img.Layers)-1 && img.Claim != "" {
			l.Digest = img.Claim
		}
		diffIDs = append(diffIDs, l.DiffID)
		entry.Layers = append(entry.Layers, l)
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size})
	}
	conf["rootfs"] = map[string]any{"type": "layers", "diff_ids": diffIDs}
	config := s.json(bundle.KindConfig, conf)
	m.Config = v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: config, Size: int64(len(s.blobs[config]))}
	entry.Config = bundle.Config{Digest: config, Size: m.Config.Size}
	entry.Digest = s.json(bundle.KindManifest, m)
	named := entry.Digest
	if img.Index {
		entry.Index = s.json(bundle.KindIndex, v1.Index{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex,
			Manifests: []v1.Descriptor{{
				MediaType: m.MediaType, Digest: entry.Digest,
				Size: int64(len(s.blobs[entry.Digest])), Platform: entry.Platform,
			}},
		})
		named = entry.Index
	}
	entry.Ref = fmt.Sprintf("%s@%s", img.Repository, named)
	for _, tag := range img.Tags {
		entry.Names = append(entry.Names, img.Repository+":"+tag)
	}
	s.inv.Images = append(s.inv.Images, entry)
	return &s.inv.Images[len(s.inv.Images)-1]
}

// AddRaw adds an image without layers whose manifest and configuration are what
// they are.
func (s *Source) AddRaw(repository string, manifest, config []byte) {
	add := func(kind bundle.BlobKind, data []byte) digest.Digest {
		d := digest.FromBytes(data)
		s.blobs[d] = data
		s.kinds[d] = bundle.Blob{Digest: d, Size: int64(len(data)), Kind: kind}
		return d
	}
	c := add(bundle.KindConfig, config)
	m := add(bundle.KindManifest, manifest)
	s.inv.Images = append(s.inv.Images, bundle.Image{
		Ref: fmt.Sprintf("%s@%s", repository, m), Digest: m, MediaType: v1.MediaTypeImageManifest,
		Config: bundle.Config{Digest: c, Size: int64(len(config))},
	})
}

// layer adds a layer.
func (s *Source) layer(plain []byte, compression string, original bool) bundle.Layer {
	s.t.Helper()
	diffID := digest.FromBytes(plain)
	raw, mediaType := plain, v1.MediaTypeImageLayer
	switch compression {
	case "gzip":
		var buf bytes.Buffer
		w := gzip.NewWriter(&buf)
		if _, err := w.Write(plain); err != nil {
			s.t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			s.t.Fatal(err)
		}
		raw, mediaType = buf.Bytes(), v1.MediaTypeImageLayerGzip
	case "zstd":
		w, err := zstd.NewWriter(nil)
		if err != nil {
			s.t.Fatal(err)
		}
		raw, mediaType = w.EncodeAll(plain, nil), v1.MediaTypeImageLayerZstd
		if err := w.Close(); err != nil {
			s.t.Fatal(err)
		}
	}
	l := bundle.Layer{
		Digest: digest.FromBytes(raw), Size: int64(len(raw)), MediaType: mediaType,
		DiffID: diffID, Original: original,
	}
	s.registry[l.Digest] = raw
	blob := bundle.Blob{Digest: l.Digest, Size: l.Size, Kind: bundle.KindLayer}
	if s.inv.Layers == bundle.Expanded {
		l.DiffSize, blob.Table = int64(len(plain)), s.table(plain)
		if !original {
			raw, blob.Digest, blob.Size = plain, diffID, l.DiffSize
		}
	}
	s.blobs[blob.Digest], s.kinds[blob.Digest] = raw, blob
	return l
}

// table adds the file table of a plain tar.
func (s *Source) table(plain []byte) digest.Digest {
	s.t.Helper()
	return s.addTable(func(w *filetable.Writer) error {
		// What is no tar gets a table with what it has before that shows.
		_ = filetable.Tabulate(bytes.NewReader(plain), w, nil)
		return nil
	})
}

func (s *Source) addTable(write func(*filetable.Writer) error) digest.Digest {
	s.t.Helper()
	var buf bytes.Buffer
	w := filetable.NewWriter(&buf)
	if err := errors.Join(write(w), w.Close()); err != nil {
		s.t.Fatal(err)
	}
	d := digest.FromBytes(buf.Bytes())
	s.blobs[d] = buf.Bytes()
	s.kinds[d] = bundle.Blob{Digest: d, Size: int64(buf.Len()), Kind: bundle.KindFileTable}
	return d
}

func (s *Source) json(kind bundle.BlobKind, v any) digest.Digest {
	s.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	d := digest.FromBytes(data)
	s.blobs[d] = data
	s.kinds[d] = bundle.Blob{Digest: d, Size: int64(len(data)), Kind: kind}
	return d
}

// LieTable replaces the bytes of a file table as if its digest were theirs: what a
// bundle holds that was made to deceive.
func (s *Source) LieTable(d digest.Digest, change func([]byte) []byte) {
	s.Corrupt(d, change)
	s.lies[d] = true
}

// Corrupt replaces the bytes of a blob; its digest stays.
func (s *Source) Corrupt(d digest.Digest, change func([]byte) []byte) {
	s.blobs[d] = change(slices.Clone(s.blobs[d]))
}

// Retable gives a layer that is expanded another file table, under its own digest.
func (s *Source) Retable(diffID digest.Digest, entries ...filetable.Entry) {
	s.t.Helper()
	layer := s.kinds[diffID]
	delete(s.kinds, layer.Table)
	layer.Table = s.addTable(func(w *filetable.Writer) error {
		for _, e := range entries {
			if err := w.Add(e); err != nil {
				return err
			}
		}
		return nil
	})
	s.kinds[diffID] = layer
}

// Edit changes the inventory as it is.
func (s *Source) Edit(change func(*bundle.Inventory)) {
	s.RawInventory()
	change(&s.inv)
}

// Inventory implements store.Source.
func (s *Source) Inventory() *bundle.Inventory {
	s.RawInventory()
	return &s.inv
}

// RawInventory implements store.Source.
func (s *Source) RawInventory() []byte {
	if s.inv.Blobs == nil {
		for _, b := range s.kinds {
			s.inv.Blobs = append(s.inv.Blobs, b)
		}
	}
	if s.inv.Format == bundle.FormatV1 || s.inv.Format == bundle.FormatV2 {
		s.inv.SetFormat()
	}
	data, err := s.inv.Marshal()
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

// ReadBlob implements store.Source.
func (s *Source) ReadBlob(_ context.Context, d digest.Digest) ([]byte, error) {
	data, ok := s.blobs[d]
	if !ok {
		return nil, fmt.Errorf("%w: %s", bundle.ErrNoBlob, d)
	}
	if digest.FromBytes(data) != d {
		return nil, &bundle.DamageError{Blob: d, Err: fmt.Errorf("its digest is %s", digest.FromBytes(data))}
	}
	return data, nil
}

// OpenLayerUnverified implements store.Source.
func (s *Source) OpenLayerUnverified(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	data, ok := s.blobs[d]
	if !ok {
		return nil, fmt.Errorf("%w: %s", bundle.ErrNoBlob, d)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// OpenTable implements store.Source.
func (s *Source) OpenTable(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	r, err := s.OpenLayerUnverified(ctx, d)
	if err != nil {
		return nil, err
	}
	if s.lies[d] {
		return r, nil
	}
	return io.NopCloser(layout.NewVerifier(r, d, -1)), nil
}

// WriteDir writes an image for the "dir:" transport of containers/image, with
// the registry's bytes.
func (s *Source) WriteDir(img *bundle.Image, dir string) {
	s.t.Helper()
	files := map[string][]byte{
		"version":                   []byte("Directory Transport Version: 1.1\n"),
		"manifest.json":             s.blobs[img.Digest],
		img.Config.Digest.Encoded(): s.blobs[img.Config.Digest],
	}
	if img.Index != "" {
		files["manifest.json"] = s.blobs[img.Index]
		files[img.Digest.Encoded()+".manifest.json"] = s.blobs[img.Digest]
	}
	for _, l := range img.Layers {
		files[l.Digest.Encoded()] = s.registry[l.Digest]
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Registry returns the registry's bytes of a layer, by the digest that the manifest names.
func (s *Source) Registry(d digest.Digest) []byte { return s.registry[d] }
