package carried

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/manifest"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// BundleSignatures returns the release signatures that a bundle carries; by says whose
// signature it must have itself.
func BundleSignatures(ctx context.Context, path string, by trust.Bundle) ([]manifest.ReleaseSignature, error) {
	f, err := by.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return releaseSignatures(f.Inventory(), func(d digest.Digest) ([]byte, error) { return f.ReadBlob(ctx, d) })
}

// StoreSignatures returns the release signatures that are in a store. Of images
// that it has not, it has none.
func StoreSignatures(dir string) ([]manifest.ReleaseSignature, error) {
	fsys := os.DirFS(dir)
	st, err := store.Open(fsys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if st.Empty() {
		return nil, nil
	}
	stored, err := store.OpenStored(fsys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return releaseSignatures(stored.Inventory(), func(d digest.Digest) ([]byte, error) {
		data, err := st.Attachment(d)
		if errors.Is(err, store.ErrUnknown) {
			return nil, nil
		}
		return data, err
	})
}

func releaseSignatures(inv *bundle.Inventory, read func(digest.Digest) ([]byte, error)) ([]manifest.ReleaseSignature, error) {
	var sigs []manifest.ReleaseSignature
	for i := range inv.Images {
		for _, a := range inv.Images[i].Attachments {
			if a.Kind != bundle.AttachmentRelease {
				continue
			}
			data, err := read(a.Digest)
			if err != nil {
				return nil, fmt.Errorf("signature %s: %w", a.Key, err)
			}
			if data != nil {
				sigs = append(sigs, manifest.ReleaseSignature{Digest: a.Subject(), Data: data})
			}
		}
	}
	return sigs, nil
}
