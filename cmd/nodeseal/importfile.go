package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store/image"
)

// signImage signs the file with the digest of the image at path, where a key was
// named, and returns where the signature is.
func (o *formatOptions) signImage(path string) (string, error) {
	key, err := readSignKey("--sign-key", o.sign)
	if err != nil || key == nil {
		return "", err
	}
	sum, err := os.ReadFile(path + image.DigestSuffix)
	if err != nil {
		return "", fmt.Errorf("signing the image: %w", err)
	}
	sig, err := signature.Sign(sum, key)
	if err != nil {
		return "", err
	}
	if err := atomicfile.WriteBytes(path+signature.Suffix, 0o644, sig); err != nil {
		return "", fmt.Errorf("signature: %w", err)
	}
	return path + signature.Suffix, nil
}

// importFile fills the free slot with an image that was made elsewhere.
func importFile(ctx context.Context, a *app, path string, o *importOptions) error {
	switch {
	case o.store != "" || o.format.out != "":
		return usageError{errors.New("an image goes into a slot as it is: no --store, no --image-out")}
	case len(o.part.images) > 0 || len(o.base.paths) > 0 || o.part.noDevices:
		return usageError{errors.New("an image is whole: --images, --base and --no-devices are for bundles")}
	}
	sum, err := safefile.ReadFile(path+image.DigestSuffix, image.MaxDigest)
	if errors.Is(err, fs.ErrNotExist) {
		return preconditionError{fmt.Errorf("importing %s: %w: copy it from where the image was made", path, err)}
	}
	if err != nil {
		return fmt.Errorf("importing %s: %w", path, err)
	}
	if err := o.key.check(path, sum); err != nil {
		return err
	}
	want, err := image.ParseDigest(path+image.DigestSuffix, sum)
	if err != nil {
		return err
	}
	root, err := o.slots.open(o.noMount)
	if err != nil {
		return err
	}
	opts, err := o.slots.fillOptions(a, o.jobs)
	if err != nil {
		return err
	}
	opts.NoSeal = o.noSeal
	res, err := root.Install(ctx, path, want, opts)
	if err != nil {
		return fmt.Errorf("importing %s: %w", path, err)
	}
	return a.show(newFilledResult(res, &o.slots))
}
