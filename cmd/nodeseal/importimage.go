package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
)

// The values of --format.
const (
	formatDir   = "dir"
	formatImage = "image"
	formatAuto  = "auto"
)

// formatOptions say what form a store gets.
type formatOptions struct {
	format string
	out    string
}

func (o *formatOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.format, "format", formatDir,
		"`FORM` of the store: dir, a directory; image, with --store DIR one immutable file DIR.erofs mounted at DIR; auto, image where the kernel can mount it")
	flags.StringVar(&o.out, "image-out", "", "make the store's image as this `FILE`, with its digest beside it, and mount nothing")
}

// check says whether the flags make sense together.
func (o *formatOptions) check(path string) error {
	switch o.format {
	case formatDir, formatImage, formatAuto:
	default:
		return usageError{fmt.Errorf("--format %q: want dir, image or auto", o.format)}
	}
	switch {
	case o.out != "" && path != "":
		return usageError{errors.New("--image-out and --store exclude each other")}
	case o.out == "" && o.format == formatImage && path == "":
		return usageError{errors.New("--format image: slots hold directories; name the store with --store, or the file with --image-out")}
	}
	return nil
}

// image reports whether the store in the directory is to be an image, "" for a slot.
func (o *formatOptions) image(ctx context.Context, store string) (bool, error) {
	if o.format != formatAuto || store == "" || o.out != "" {
		return o.out != "" || o.format == formatImage && store != "", nil
	}
	if _, ok := hasImage(store); ok {
		return true, nil
	}
	parent, err := filepath.Abs(filepath.Dir(filepath.Clean(store)))
	if err != nil {
		return false, err //nolint:wrapcheck // names the directory
	}
	err = image.Supported(ctx, parent)
	var kernel *image.KernelError
	if errors.As(err, &kernel) {
		return false, nil
	}
	return err == nil, err //nolint:wrapcheck // says what it did
}

// imageOf returns the image of the store in a directory, whether there is one or not.
func imageOf(store string) (string, error) {
	abs, err := filepath.Abs(store)
	if err != nil {
		return "", err //nolint:wrapcheck // names the directory
	}
	return abs + image.Suffix, nil
}

// hasImage reports whether the store in a directory is an image.
func hasImage(store string) (string, bool) {
	file, err := imageOf(store)
	if err != nil {
		return "", false
	}
	info, err := os.Lstat(file)
	return file, err == nil && info.Mode().IsRegular()
}

// importImage makes the image of the store o.store, unless it is there, or the file
// o.format.out.
func importImage(ctx context.Context, a *app, path string, f *archive.File, src store.Source, o *importOptions) error {
	file := o.format.out
	if file == "" {
		var err error
		if file, err = imageOf(o.store); err != nil {
			return err
		}
		if _, ok := hasImage(o.store); ok {
			return takeImage(ctx, a, path, src, o)
		}
		if err := image.CheckPoint(o.store); err != nil {
			return err //nolint:wrapcheck // names the directory
		}
	}
	b, err := o.base.onNode(ctx, a, path, f, src, &o.slots, false)
	if err != nil {
		return fmt.Errorf("importing %w", err)
	}
	defer b.close()
	res, err := image.Import(ctx, b.src, file, image.Options{Jobs: o.jobs, NoDevices: o.part.noDevices, Progress: a.progress()})
	if err != nil {
		return fmt.Errorf("importing %s: %w", path, b.blame(err))
	}
	out := importResult{
		Store: res.Path, Images: res.Images, References: res.References, Layers: res.Layers, Files: res.Files,
		Bytes: res.Bytes, Extracted: res.Decoded, Image: res.Path, Digest: res.Digest, ImageBytes: res.Size,
	}
	out.addBase(b)
	if o.format.out == "" {
		if out.Store, out.Seal, err = placeImage(res.Path, o); err != nil {
			return fmt.Errorf("the image is whole, but not in its place: %w", err)
		}
	}
	return a.show(out)
}

// takeImage puts the image that is there into its place, where it is the bundle's: a
// run before may not have come to that, and a restart takes the mount away.
func takeImage(ctx context.Context, a *app, path string, src store.Source, o *importOptions) error {
	file, err := imageOf(o.store)
	if err != nil {
		return err
	}
	// What an interrupted run before has left is of no use any more.
	if err := image.Clean(file); err != nil {
		return err //nolint:wrapcheck // says all
	}
	point, rep, err := placeImage(file, o)
	if err != nil {
		return fmt.Errorf("the image is whole, but not in its place: %w", err)
	}
	out := importResult{Store: point, Image: file, Seal: rep}
	if out.Already, err = dir.Present(ctx, src, point); err != nil {
		return fmt.Errorf("importing %s: %w", path, err)
	}
	if !out.Already {
		return fmt.Errorf("importing %s: %w: %s", path, store.ErrExists, file)
	}
	return a.show(out)
}

// placeImage mounts and seals the image of o.store.
func placeImage(file string, o *importOptions) (string, *seal.Report, error) {
	point, err := filepath.Abs(o.store)
	if err != nil {
		return "", nil, err //nolint:wrapcheck // names the directory
	}
	mounted, err := isMounted(point)
	if err == nil && !mounted {
		err = image.MakePoint(point)
	}
	if err != nil {
		return point, nil, err //nolint:wrapcheck // names the directory
	}
	if !o.noSeal {
		rep, err := seal.Image(file, point, seal.Options{NoMount: o.noMount, Label: dir.Label()})
		return point, &rep, err //nolint:wrapcheck // names the image
	}
	if !o.noMount {
		err = seal.MountImage(file, point, dir.Label())
	}
	return point, nil, err //nolint:wrapcheck // names the image
}

// isMounted reports whether an image is mounted at point.
func isMounted(point string) (bool, error) {
	if _, err := os.Lstat(point); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return seal.ImageMounted(point) //nolint:wrapcheck // says what it did
}
