package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/check"
	"golang.org/x/sync/errgroup"
)

// KernelError reports a machine that cannot mount a store image. It wraps
// store.ErrPrecondition.
type KernelError struct{ Err error }

// Error implements error.
func (e *KernelError) Error() string {
	return fmt.Sprintf("a store image cannot be used here: %v", e.Err)
}

// Unwrap returns store.ErrPrecondition and the cause.
func (e *KernelError) Unwrap() []error { return []error{store.ErrPrecondition, e.Err} }

// Supported reports whether an image in the directory dir could be mounted: nil, or
// a *KernelError, or what kept it from finding out. It mounts a small one, and leaves
// nothing.
func Supported(ctx context.Context, dir string) (err error) {
	path := filepath.Join(dir, ".nodeseal-probe"+Suffix)
	o, err := openOutput(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close(false)) }()
	return o.probe(ctx)
}

// probe mounts an image without files.
func (o *output) probe(ctx context.Context) error {
	b, err := erofs.New(o.image, erofs.Options{Root: erofs.Attr{Mode: 0o700}})
	if err == nil {
		_, err = b.Finish(ctx)
	}
	if err == nil {
		_, err = o.mount()
	}
	if err != nil {
		return &KernelError{Err: err}
	}
	if err := errors.Join(check.Remove(workName(o.target)), o.image.Truncate(0)); err != nil {
		return fmt.Errorf("probing for EROFS: %w", err)
	}
	return nil
}

// mount mounts the image, which has no name yet, and returns where. check.Remove
// of the work directory takes the mount away.
func (o *output) mount() (string, error) {
	point := filepath.Join(workName(o.target), "image")
	if err := os.MkdirAll(point, 0o700); err != nil {
		return "", fmt.Errorf("making a mount point: %w", err)
	}
	return point, seal.MountImage(PartialName(o.target), point, "")
}

// Probe implements build.Writer: it tries, where the image will lie, what it will need.
func (im *importer) Probe(ctx context.Context) error {
	if err := im.out.probe(ctx); err != nil {
		return err
	}
	work := workName(im.path)
	if err := check.Probe(filepath.Join(work, "overlay")); err != nil {
		return fmt.Errorf("%w: %s cannot be used to check a store: %w", store.ErrPrecondition, filepath.Dir(im.path), err)
	}
	return check.Remove(work)
}

// Check implements build.Writer. It writes the tree, then it syncs the image, hashes it and
// opens the store in it, side by side: the first waits for the disk, the others for one
// processor each.
func (im *importer) Check(ctx context.Context, open func(ctx context.Context, dir, scratch string) error) error {
	made, err := im.build.Finish(ctx)
	if err != nil {
		return fmt.Errorf("finishing the image: %w", err)
	}
	im.facts.Size, im.facts.Inodes = made.Size, made.Inodes
	if err := im.dropTables(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := im.out.image.Sync(); err != nil {
			return fmt.Errorf("syncing the image: %w", err)
		}
		return nil
	})
	g.Go(func() error { return im.hash(ctx) })
	g.Go(func() error {
		point, err := im.out.mount()
		if err != nil {
			return fmt.Errorf("checking the store: %w", err)
		}
		return im.checkMounted(ctx, point, open)
	})
	return g.Wait()
}

// hash computes the digest of the image, as it can be read back; of blocks that it
// shares, as they are where they come from.
func (im *importer) hash(ctx context.Context) error {
	im.opts.Progress.Begin(phaseHash, im.facts.Size, progress.Bytes)
	r := &clonedReader{image: im.out.image, cloned: im.cloned, size: im.facts.Size}
	d, size, err := hashOf(ctx, r, func(n int64) { im.opts.Progress.Add(phaseHash, n) })
	if err == nil && size != im.facts.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("hashing the image: %w", err)
	}
	im.opts.Progress.End(phaseHash)
	im.facts.Digest = d
	return nil
}

// checkMounted opens the store with the library, and takes the mount away: when the image
// has its name, nothing but the image is there.
func (im *importer) checkMounted(ctx context.Context, point string, open func(ctx context.Context, dir, scratch string) error) error {
	work := workName(im.path)
	if err := open(ctx, point, filepath.Join(work, "root")); err != nil {
		return err
	}
	return check.Remove(work)
}
