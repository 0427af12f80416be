package trust

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/atomicfile"
)

// SignInventory writes the signature of the bundle at path, whose inventory is inv, beside it,
// and returns where.
func SignInventory(path string, inv *bundle.Inventory, key crypto.Signer) (string, error) {
	raw, err := inv.Marshal()
	if err != nil {
		return "", err
	}
	sig, err := signature.Sign(raw, key)
	if err != nil {
		return "", err
	}
	if err := atomicfile.WriteBytes(path+signature.Suffix, 0o644, sig); err != nil {
		return "", fmt.Errorf("signature: %w", err)
	}
	return path + signature.Suffix, nil
}

// InventoryAt returns the inventory.json of the bundle at path, nil where there is none that
// can be read.
func InventoryAt(ctx context.Context, path string) []byte {
	f, err := archive.OpenFile(ctx, path)
	if err != nil {
		return nil
	}
	raw := f.RawInventory()
	_ = f.Close() // it was read
	return raw
}

// DropSignature removes the signature beside a bundle that was written without a key in place
// of one whose inventory.json was before: it is not this one's. Where the inventory is the
// same, the signature is still right, and stays. It returns the path of what it removed.
func DropSignature(path string, before []byte, inv *bundle.Inventory) (removed string, err error) {
	raw, err := inv.Marshal()
	if err != nil {
		return "", err
	}
	if bytes.Equal(raw, before) {
		return "", nil
	}
	stale := path + signature.Suffix
	err = os.Remove(stale)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("signature: %w", err)
	}
	return stale, nil
}
