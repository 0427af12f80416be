package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// ReadContents is form.ReadContents for what CheckImage takes.
func ReadContents(ctx context.Context, path string, by trust.Bundle) (*form.Contents, error) {
	if err := CheckImage(ctx, path, by); err != nil {
		return nil, err
	}
	return form.ReadContents(path)
}

// CheckImage holds the image file that path is, or that of the store in the directory path, to what
// by asks for, as an import does: what the kernel mounts is a file system that somebody made. It must
// have the digest beside it, and that a signature. A slot's own image was looked at when it was
// imported, one that is mounted in its place when it was mounted. The error wraps
// signature.ErrMismatch, store.ErrDamaged or store.ErrPrecondition, or is that of trust.Bundle.Keys.
func CheckImage(ctx context.Context, path string, by trust.Bundle) error {
	file, ok := form.FileAt(path)
	if !ok || ownImage(file) {
		return nil
	}
	keys, _, err := by.Keys(ctx, "")
	if err != nil || keys == nil {
		return err
	}
	want, err := signedDigest("reading", file, keys)
	if err != nil {
		return err
	}
	got, _, err := image.Hash(ctx, file, nil)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%w: %s has the digest %s, want %s", store.ErrDamaged, file, got, want)
	}
	return nil
}

// ownImage reports whether an image file is that of a slot of this node, or mounted in its place.
func ownImage(file string) bool {
	point, ok := strings.CutSuffix(file, image.Suffix)
	if !ok {
		return false
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(file))
	if root, rerr := filepath.EvalSymlinks(slot.DefaultRoot); err == nil && rerr == nil && dir == root {
		_, err := slot.ParseName(filepath.Base(point))
		return err == nil
	}
	up, err := seal.ImageMounted(point)
	return err == nil && up
}

// signedDigest reads the digest that the image at path must have, which must have a signature of one
// of the keys; nil asks for none. doing is for the error.
func signedDigest(doing, path string, keys signature.Keys) (digest.Digest, error) {
	recorded := path + image.DigestSuffix
	sum, err := safefile.ReadFile(recorded, image.MaxDigest)
	if errors.Is(err, fs.ErrNotExist) {
		return "", precondition{fmt.Errorf("%s %s: %w: copy it from where the image was made", doing, path, err)}
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", doing, path, err)
	}
	if check := trust.Signed(path, keys); check != nil {
		if err := check(sum); err != nil {
			return "", err
		}
	}
	return image.ParseDigest(recorded, sum)
}
