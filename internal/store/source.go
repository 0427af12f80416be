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

// Source is where images come from: a bundle. Its methods may be called from
// many goroutines at once.
type Source interface {
	Metadata
	// RawInventory returns the inventory's bytes as the bundle holds them.
	RawInventory() []byte
	// OpenLayer returns the bytes of a layer blob as the bundle holds it: a
	// plain tar where layers are expanded, else the registry's bytes. They are
	// not proven: who reads them hashes them.
	OpenLayer(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
	// OpenTable returns the bytes of a file table. They are not proven.
	OpenTable(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
}
