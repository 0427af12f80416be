package nodestore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/tarsplit"
)

// Registry is where the bytes come from that no store has; *pull.Client is one.
type Registry interface {
	Manifest(ctx context.Context, ref string) (pull.Manifest, error)
	Blob(ctx context.Context, ref string, d digest.Digest, size, offset int64) (io.ReadCloser, error)
	Reject(d digest.Digest)
}

// Source gives the bytes of images: from stores where one of them has the image,
// and else from a registry. It is safe for concurrent use.
type Source struct {
	// Stores are asked in their order.
	Stores []*Store
	// Registry is asked for the rest; nil says that there is none.
	Registry Registry
}

// Manifest returns the manifest, or list of manifests, that ref names, verified.
// The error wraps store.ErrUnknown where no store has it and there is no registry.
func (s *Source) Manifest(ctx context.Context, ref string) (pull.Manifest, error) {
	for _, st := range s.Stores {
		if !st.Has(ref) {
			continue
		}
		_, d := st.digestOf(ref)
		data, err := st.store.Manifest(d)
		if err != nil {
			return pull.Manifest{}, err
		}
		return pull.Manifest{Digest: d, MediaType: mediaType(data), Bytes: data}, nil
	}
	if s.Registry == nil {
		return pull.Manifest{}, fmt.Errorf("manifest of %s: %w", ref, store.ErrUnknown)
	}
	return s.Registry.Manifest(ctx, ref)
}

// mediaType is what a manifest says it is. OCI manifests need not say it.
func mediaType(data []byte) string {
	var m struct {
		MediaType string          `json:"mediaType"`
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := jsonbound.Unmarshal(data, &m); err != nil || m.MediaType != "" {
		return m.MediaType
	}
	if m.Manifests != nil {
		return "application/vnd.oci.image.index.v1+json"
	}
	return "application/vnd.oci.image.manifest.v1+json"
}

// Blob opens a blob from offset on. Of stores it gives configurations, and what belongs to attachments, verified, and
// the layers that a store of nodeseal's keeps as the registry had them, which are not (see PlainLayer for the others). The error wraps
// store.ErrUnknown where no store has it and there is no registry.
func (s *Source) Blob(ctx context.Context, ref string, d digest.Digest, size, offset int64) (io.ReadCloser, error) {
	for _, st := range s.Stores {
		if f, err := st.store.OpenOriginal(d); err == nil {
			if _, err := f.Seek(offset, io.SeekStart); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return f, nil
		}
		data, err := st.store.Config(d.Encoded())
		if err != nil {
			data, err = st.store.Attachment(d)
		}
		if err != nil || offset > int64(len(data)) {
			continue
		}
		return io.NopCloser(bytes.NewReader(data[offset:])), nil
	}
	if s.Registry == nil {
		return nil, fmt.Errorf("%s of %s, as a registry has it: %w", d, ref, store.ErrUnknown)
	}
	return s.Registry.Blob(ctx, ref, d, size, offset)
}

// HasBlob reports whether a store keeps the layer d as the registry had it, or there is a
// registry to be asked.
func (s *Source) HasBlob(_ context.Context, d digest.Digest) bool {
	return s.Registry != nil || slices.ContainsFunc(s.Stores, func(st *Store) bool { return st.HasOriginal(d) })
}

// HasOriginal reports whether the store keeps the layer d as the registry had it.
func (s *Store) HasOriginal(d digest.Digest) bool {
	f, err := s.store.OpenOriginal(d)
	return err == nil && f.Close() == nil
}

// OpenOriginal opens a layer that the store keeps as the registry had it, not verified.
// The caller closes it. The error wraps store.ErrUnknown if there is none.
func (s *Store) OpenOriginal(d digest.Digest) (*os.File, error) { return s.store.OpenOriginal(d) }

// Reject says that the bytes that Blob gave for d were others.
func (s *Source) Reject(d digest.Digest) {
	if s.Registry != nil {
		s.Registry.Reject(d)
	}
}

// lost says why the store cannot give a layer back byte for byte, "" where it can.
func (s *Store) lost(ctx context.Context, id string) string {
	f, err := safefile.Open(filepath.Join(s.Dir, store.TarSplitFile(id)))
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	zr, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return "" // damaged, which is told where it is read
	}
	why, err := tarsplit.Kept(ctx, tarsplit.Bound(ctx, zr, s.diffSize(id)))
	if err != nil {
		return ""
	}
	return why
}

// HasLayer reports whether the store has the layer with the diff ID unpacked, with
// what it takes to put its tar together, and files that do so: whether they are whole
// shows only when it is read.
func (s *Store) HasLayer(ctx context.Context, diffID digest.Digest) bool {
	for _, id := range s.layers[diffID] {
		dir, err := s.layerDir(id)
		if err != nil {
			continue
		}
		_, err = os.Stat(dir)
		if err == nil && s.lost(ctx, id) == "" {
			return true
		}
	}
	return false
}

// PlainLayer returns the plain tar that the layer with the diff ID was unpacked
// from, and false where no store has it. It is put together of the unpacked
// files and is not verified: who reads it compares it with diffID, which also
// finds files that somebody changed in the store. Who reads it closes it.
func (s *Source) PlainLayer(ctx context.Context, diffID digest.Digest) (io.ReadCloser, bool, error) {
	var lost error
	for _, st := range s.Stores {
		for _, id := range st.layers[diffID] {
			why := st.lost(ctx, id)
			if why == "" {
				r, ok, err := st.plainLayer(ctx, id)
				if err != nil || ok {
					return r, ok, err
				}
				continue
			}
			if s.Registry == nil && lost == nil && has(filepath.Join(st.Dir, store.TarSplitFile(id))) {
				lost = &LostError{Store: st.Dir, Layer: diffID, Why: why}
			}
		}
	}
	return nil, false, lost
}

func has(name string) bool { _, err := os.Stat(name); return err == nil }

// LostError says that a store has a layer of which it cannot give back the tar.
type LostError struct {
	Store string
	Layer digest.Digest
	Why   string
}

// Error implements error.
func (e *LostError) Error() string {
	return fmt.Sprintf("%s has layer %s, but cannot give it back byte for byte (%s): only a registry or a bundle has it", e.Store, e.Layer, e.Why)
}
