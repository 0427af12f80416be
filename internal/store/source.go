package store

import (
	"context"
	"io"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/opencontainers/go-digest"
)

// Metadata is what a store is planned from: an inventory with the manifests and
// configurations that it names.
type Metadata interface {
	// Inventory returns the inventory, validated. It is not changed.
	Inventory() *bundle.Inventory
	// ReadBlob returns a small blob whole, verified against its digest.
	ReadBlob(ctx context.Context, d digest.Digest) ([]byte, error)
}

// Location is where a Source has the contents of a layer.
type Location struct {
	// Blob is the digest to open it by: of the bytes, which are the plain tar
	// where it is the diff ID, else the registry's.
	Blob digest.Digest
	// Table is the digest of its file table, "" where the source has none.
	Table digest.Digest
	// Size is the length of the blob as it is claimed, 0 where it is not.
	Size int64
}

// Elsewhere is Metadata of which some layers are not as the inventory says: they
// come from a base, which may have them in another form.
type Elsewhere interface {
	// Locate says where a layer of the inventory is, and false where that is as
	// the inventory says.
	Locate(l bundle.Layer) (Location, bool)
}

// Source is where images come from: a bundle. Its methods may be called from
// many goroutines at once.
type Source interface {
	Metadata
	// RawInventory returns the inventory's bytes as the bundle holds them.
	RawInventory() []byte
	// OpenLayerUnverified returns the bytes of a layer blob as the bundle holds it: a
	// plain tar where layers are expanded, else the registry's bytes. They are
	// not proven: who reads them hashes them.
	OpenLayerUnverified(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
	// OpenTable returns the bytes of a file table, held to the digest: the reader's
	// io.EOF means that they were right. That they are the layer's is not proven.
	OpenTable(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
}
