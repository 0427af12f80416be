package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// The values of --format.
const (
	formatDir   = "dir"
	formatImage = "image"
	formatAuto  = "auto"
	formatSame  = "same"
)

// formatOptions say what form a store gets.
type formatOptions struct {
	format string
	out    string
	sign   trust.File
}

// addFlags adds those of import.
func (o *formatOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.format, "format", formatDir,
		"`FORM` of the store: dir, a directory; image, one immutable file beside the slot or DIR, as DIR.erofs, mounted there; auto, image where the kernel can mount it; same, that of the slots")
	flags.StringVar(&o.out, "image-out", "", "make the store's image as this `FILE`, with its digest beside it, and mount nothing; nodeseal import FILE puts it into a slot")
	flags.Var(&o.sign, "sign-key", "with --image-out, sign FILE.sha256 with this private key (`PEM`), into FILE.sig")
}

// addSlotFlags adds those of commands that only fill slots.
func (o *formatOptions) addSlotFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.format, "format", formatSame,
		"`FORM` of the store: same, image where a slot holds one, else dir; dir, a directory; image, one immutable file beside the slot, mounted there; auto, image where the kernel can mount it")
}

// complete completes the values of --format.
func (o *formatOptions) complete(cmd *cobra.Command) {
	forms := []string{formatDir, formatImage, formatAuto, formatSame}
	must(cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp)))
}

// check says whether the flags make sense together.
func (o *formatOptions) check(path string) error {
	switch o.format {
	case formatDir, formatImage, formatAuto, formatSame:
	default:
		return usageError{fmt.Errorf("--format %q: want dir, image, auto or same", o.format)}
	}
	switch {
	case o.out != "" && path != "":
		return usageError{errors.New("--image-out and --store exclude each other")}
	case o.sign != "" && o.out == "":
		return usageError{errors.New("--sign-key signs what --image-out makes")}
	}
	return nil
}

// image reports whether the store in the directory store is to be an image.
func (o *formatOptions) image(ctx context.Context, store string) (bool, error) {
	if o.out != "" || o.format == formatImage {
		return true, nil
	}
	if o.format == formatDir {
		return false, nil
	}
	if _, ok := hasImage(store); ok || o.format == formatSame {
		return ok, nil
	}
	return mountable(ctx, filepath.Dir(filepath.Clean(store)))
}

// inSlot reports whether the store in a slot is to be an image.
func (o *formatOptions) inSlot(ctx context.Context, root *slot.Root) (bool, error) {
	switch o.format {
	case formatDir, formatImage:
		return o.format == formatImage, nil
	case formatAuto:
		return mountable(ctx, root.Dir())
	}
	for _, n := range slot.Names() {
		if _, ok := hasImage(root.Path(n)); ok {
			return true, nil
		}
	}
	return false, nil
}

// mountable reports whether an image in a directory, which need not exist, could be
// mounted.
func mountable(ctx context.Context, dir string) (bool, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return false, err
	}
	for {
		if _, err := os.Stat(abs); err == nil || abs == filepath.Dir(abs) {
			break
		}
		abs = filepath.Dir(abs)
	}
	err = image.Supported(ctx, abs)
	var kernel *image.KernelError
	if errors.As(err, &kernel) {
		return false, nil
	}
	return err == nil, err
}

// imageOf returns the image of the store in a directory, whether there is one or not.
func imageOf(store string) (string, error) {
	abs, err := filepath.Abs(store)
	if err != nil {
		return "", err
	}
	return abs + image.Suffix, nil
}

// hasImage reports whether the store in a directory is an image.
func hasImage(store string) (string, bool) {
	file, err := imageOf(store)
	if err != nil {
		return "", false
	}
	info, err := os.Lstat(file) //nolint:gosec // a path that the caller names
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
			return err
		}
	}
	b, err := o.base.onNode(ctx, a, path, f, src, &o.slots, false)
	if err != nil {
		return fmt.Errorf("importing %w", err)
	}
	defer b.close()
	limitMemory(image.MemoryLimit(o.jobs))
	res, err := image.Import(ctx, b.src, file, store.ImportOptions{Jobs: o.jobs, NoDevices: o.part.noDevices, Progress: a.progress()})
	if err != nil {
		return fmt.Errorf("importing %s: %w", path, b.blame(err))
	}
	out := importResult{Store: res.Path, Image: res.Path, Digest: res.Digest, ImageBytes: res.Size}
	out.count(&res.Counts)
	out.addBase(b)
	if o.format.out != "" {
		if out.Signature, err = o.format.signImage(res.Path); err != nil {
			return err
		}
	} else {
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
	if _, err := image.Clean(file); err != nil {
		return err
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
		return "", nil, err
	}
	mounted, err := isMounted(point)
	if err == nil && !mounted {
		err = image.MakePoint(point)
	}
	if err != nil {
		return point, nil, err
	}
	if !o.noSeal {
		rep, err := seal.Image(file, point, seal.Options{NoMount: o.noMount, Label: dir.Label()})
		return point, &rep, err
	}
	if !o.noMount {
		err = seal.MountImage(file, point, dir.Label())
	}
	return point, nil, err
}

// isMounted reports whether an image is mounted at point.
func isMounted(point string) (bool, error) {
	if _, err := os.Lstat(point); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return seal.ImageMounted(point)
}
