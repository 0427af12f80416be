package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
)

// Prove proves images by the blobs of src, each from its reference to its diff IDs
// (bundle.Image.Prove), and what is attached to them. The first error is returned: an
// *Error, which wraps ErrDamaged if the image is not what the inventory says, or is
// damaged.
func Prove(ctx context.Context, src Metadata, images []bundle.Image) error {
	for i := range images {
		if err := ctx.Err(); err != nil {
			return err
		}
		img := &images[i]
		if _, err := ProveImage(ctx, src, img); err != nil {
			return err
		}
		for j := range img.Attachments {
			if _, err := ProveAttachment(ctx, src, img, &img.Attachments[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// ProveImage proves one image, as Prove does, without what is attached to it.
func ProveImage(ctx context.Context, src Metadata, img *bundle.Image) (*bundle.Proof, error) {
	proof, err := img.Prove(func(d digest.Digest) ([]byte, error) { return readBlob(ctx, src, "reading blob", d, img) })
	var broken *bundle.ChainError
	if errors.As(err, &broken) {
		return nil, damaged("proving image", "", img, err)
	}
	return proof, err
}

// ProveAttachment returns the bytes of an attachment that is what the inventory says.
func ProveAttachment(ctx context.Context, src Metadata, img *bundle.Image, a *bundle.Attachment) ([]byte, error) {
	data, err := readBlob(ctx, src, "reading attachment", a.Digest, img)
	if err != nil {
		return nil, err
	}
	if err := img.CheckAttachment(a, data); err != nil {
		return nil, damaged("reading attachment", a.Digest, img, err)
	}
	return data, nil
}

// ReferencesOf returns the names of an image as the records of a store have them.
func ReferencesOf(img *bundle.Image) []Reference {
	refs := make([]Reference, 0, 1+len(img.Names))
	for _, name := range append([]string{img.Ref}, img.Names...) {
		refs = append(refs, Reference{Name: name, Digest: img.Named(name), ImageID: img.Config.Digest.Encoded()})
	}
	return refs
}

// ProveRecords proves the images of the store in fsys, as Prove does, and that the names of
// its records are theirs. It does not read layers. The error wraps fs.ErrNotExist where
// nodeseal did not write the store.
func ProveRecords(ctx context.Context, fsys fs.FS, records *Store) error {
	stored, err := OpenStored(fsys)
	if err != nil {
		return err
	}
	kept := stored.Kept()
	if err := Prove(ctx, stored, kept); err != nil {
		return err
	}
	proven := make(map[Reference]bool)
	for i := range kept {
		for _, ref := range ReferencesOf(&kept[i]) {
			proven[ref] = true
		}
	}
	for _, ref := range records.References {
		if !proven[ref] {
			return UnprovenName(ref)
		}
	}
	return nil
}

// UnprovenName is the error about a name of a store's records that no image of it proves.
func UnprovenName(ref Reference) error {
	return fmt.Errorf("%w: the name %s of the store's records is not proven to be of %s", ErrDamaged, ref.Name, ref.Digest)
}
