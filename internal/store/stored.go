package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/opencontainers/go-digest"
)

// Stored is the metadata of a written store: what it was planned from, read back
// from its own files. It is safe for use by many goroutines.
type Stored struct {
	fsys  fs.FS
	inv   *bundle.Inventory
	raw   []byte
	paths map[digest.Digest]string
}

// OpenStored reads the inventory of the store in fsys. The error wraps
// fs.ErrNotExist where the store has none, because nodeseal did not write it.
func OpenStored(fsys fs.FS) (*Stored, error) {
	raw, err := readBounded(fsys, InventoryFile, bundle.MaxInventory)
	if err != nil {
		return nil, fmt.Errorf("reading the store's inventory: %w", err)
	}
	inv, err := bundle.ParseInventory(bytes.NewReader(raw))
	if errors.Is(err, bundle.ErrUnsupported) {
		return nil, &Error{Kind: ErrPrecondition, Op: "reading the store's inventory", Err: err}
	}
	if err != nil {
		return nil, &Error{Kind: ErrDamaged, Op: "reading the store's inventory", Err: err}
	}
	s := &Stored{fsys: fsys, inv: inv, raw: raw, paths: make(map[digest.Digest]string)}
	for i := range inv.Images {
		img := &inv.Images[i]
		if img.Artifact {
			s.addArtifact(img)
			continue
		}
		folder := path.Join(ImagesDir, img.Config.Digest.Encoded())
		s.paths[img.Digest] = path.Join(folder, bigDataFile(manifestKey(img.Digest)))
		s.paths[img.Config.Digest] = path.Join(folder, bigDataFile(img.Config.Digest.String()))
		if img.Index != "" {
			s.paths[img.Index] = path.Join(folder, bigDataFile(manifestKey(img.Index)))
		}
		s.addAttachments(img)
	}
	return s, nil
}

func (s *Stored) addAttachments(img *bundle.Image) {
	for _, a := range img.Attachments {
		for _, d := range append([]digest.Digest{a.Digest}, a.Blobs...) {
			s.paths[d] = path.Join(attachmentsDir, d.Encoded())
		}
	}
}

// Inventory implements Metadata.
func (s *Stored) Inventory() *bundle.Inventory { return s.inv }

// RawInventory returns the inventory's bytes.
func (s *Stored) RawInventory() []byte { return s.raw }

// ReadBlob implements Metadata. Errors wrap ErrUnknown or ErrDamaged.
func (s *Stored) ReadBlob(_ context.Context, d digest.Digest) ([]byte, error) {
	name, ok := s.paths[d]
	if !ok {
		return nil, fmt.Errorf("%s: %w", d, ErrUnknown)
	}
	data, err := readBounded(s.fsys, name, bundle.MaxSmallBlob)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Kind: ErrDamaged, Op: "reading " + name, Digest: d, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if got := digest.FromBytes(data); got != d {
		return nil, &Error{Kind: ErrDamaged, Op: "reading " + name, Digest: d, Err: fmt.Errorf("its digest is %s", got)}
	}
	return data, nil
}

// Path returns where the store has the blob d, "" where it should have none.
func (s *Stored) Path(d digest.Digest) string { return s.paths[d] }

// Kept returns the images whose manifests the store keeps: those that it was made
// of. The inventory has those of other platforms too, of which it keeps nothing.
func (s *Stored) Kept() []bundle.Image {
	return slices.DeleteFunc(slices.Clone(s.inv.Images), func(img bundle.Image) bool {
		_, err := fs.Stat(s.fsys, s.paths[img.Digest])
		return errors.Is(err, fs.ErrNotExist)
	})
}

// Images returns the images of the inventory that a store of the selection has.
func (s *Stored) Images(sel Selection) ([]*bundle.Image, error) {
	chosen, _, err := choose(s.inv.Images, sel)
	return chosen, err
}
