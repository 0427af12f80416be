package slot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"golang.org/x/sys/unix"
)

// ImageError reports the image of a slot that cannot be mounted: the slot is an
// empty store as long. It wraps store.ErrPrecondition where the machine is at
// fault, else store.ErrDamaged.
type ImageError struct {
	Slot Name
	File string
	Err  error
}

// Error implements error.
func (e *ImageError) Error() string {
	return fmt.Sprintf("slot %s: its image %s cannot be mounted, the slot is an empty store: %v", e.Slot, e.File, e.Err)
}

// Point is the slot's directory, at which the image belongs.
func (e *ImageError) Point() string { return strings.TrimSuffix(e.File, image.Suffix) }

// Unwrap returns what is at fault, and the cause.
func (e *ImageError) Unwrap() []error {
	if seal.Unable(e.Err) {
		return []error{store.ErrPrecondition, e.Err}
	}
	return []error{store.ErrDamaged, e.Err}
}

// Image returns the file of a slot whose store is an image. It is there only then.
func (r *Root) Image(n Name) string { return r.Path(n) + image.Suffix }

func (r *Root) hasImage(n Name) bool { return isFile(r.Image(n)) }

func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}

// mounted reports whether an image is what readers see at path.
func mounted(path string) (bool, error) {
	ok, err := seal.ImageMounted(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return ok, err
}

// readImage reads a slot whose store is an image, mounted or not.
func (r *Root) readImage(n Name) (*Slot, error) {
	up, err := mounted(r.Path(n))
	if err != nil {
		return nil, fmt.Errorf("reading slot %s: %w", n, err)
	}
	from := r.Path(n)
	if !up {
		m, err := seal.OpenImage(r.Image(n), "")
		if err != nil {
			return nil, &ImageError{Slot: n, File: r.Image(n), Err: err}
		}
		defer m.Close()
		from = m.Dir()
	}
	s, err := readStore(n, from)
	if err != nil {
		return nil, err
	}
	s.Path, s.Image = r.Path(n), r.Image(n)
	return s, nil
}

// mountImages mounts the images of the given slots that are not mounted, where this
// root does that. The others are mounted all the same where one fails.
func (r *Root) mountImages(names ...Name) error {
	var err error
	for _, n := range names {
		if r.mounts && r.hasImage(n) {
			err = errors.Join(err, r.mountImage(n))
		}
	}
	return err
}

// mountImage puts the image of a slot over the empty store there, once it is known
// to be a store that readers can open. The error is an *ImageError where it is not;
// the empty store is mounted read-only then.
func (r *Root) mountImage(n Name) error {
	if up, err := mounted(r.Path(n)); err != nil || up {
		return err
	}
	if err := placeMount(r.Image(n), r.Path(n), false); err != nil {
		return errors.Join(&ImageError{Slot: n, File: r.Image(n), Err: err}, seal.Mount(r.Path(n)))
	}
	return flag(r.Image(n))
}

// placeMount mounts the image file at point: over the empty store there, or with
// replace in the place of the image that is mounted there.
func placeMount(file, point string, replace bool) error {
	m, err := seal.OpenImage(file, dir.Label())
	if err != nil {
		return err
	}
	defer m.Close()
	if err := usable(m.Dir()); err != nil {
		return err
	}
	if replace {
		return m.Replace(point)
	}
	if err := image.CheckPoint(point); err != nil {
		return fmt.Errorf("a directory with a store has its place: %w", err)
	}
	// A mount of the empty store over itself would stay below.
	if err := seal.Unmount(point); err != nil {
		return err
	}
	return m.Place(point)
}

// usable says whether readers can open the store in a directory: one of which they
// cannot would stop them altogether, where an empty one only lacks images.
func usable(path string) error {
	fsys := store.Files(path)
	if err := store.CheckLocks(fsys); err != nil {
		return fmt.Errorf("%w: %w", store.ErrDamaged, err)
	}
	st, err := store.Open(fsys)
	if err == nil {
		err = store.CheckLayers(path, st)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrDamaged, err)
	}
	return nil
}

// flag makes an image immutable where its file system can.
func flag(file string) error {
	var unsupported *seal.UnsupportedError
	if _, err := seal.FlagImage(file, true); err != nil && !errors.As(err, &unsupported) {
		return err
	}
	return nil
}

// putImage gives the image at at.prepared its name and mounts it: over an empty
// store, or in the place of the image that at holds. Not mounted, it is mounted by
// the next command or at the next start.
func (r *Root) putImage(ctx context.Context, at places) error {
	fail := func(err error) error { return fmt.Errorf("placing %s: %w", at.file(), err) }
	d, err := image.ReadDigest(at.preparedFile())
	if err != nil {
		return fail(err)
	}
	if err := r.step("swap"); err != nil {
		return err
	}
	replace := isFile(at.file())
	if replace {
		var unsupported *seal.UnsupportedError
		if _, err := seal.FlagImage(at.file(), false); err != nil && !errors.As(err, &unsupported) {
			return fail(err)
		}
	}
	if err := image.WriteDigest(at.file(), d); err != nil {
		return fail(err)
	}
	if err := r.step("unmount"); err != nil {
		return err
	}
	up, err := mounted(at.path)
	if err == nil && up {
		// First what readers see: after a kill the image that waits is still there,
		// and the same command does the rest.
		err = placeMount(at.preparedFile(), at.path, true)
	}
	if err != nil {
		return fail(err)
	}
	if err := r.unsettle(at.slot); err != nil {
		return err
	}
	if err := r.step("exchange"); err != nil {
		return err
	}
	if err := os.Rename(at.preparedFile(), at.file()); err != nil {
		return fail(err)
	}
	if err := r.step("exchanged"); err != nil {
		return err
	}
	if err := errors.Join(atomicfile.SyncDir(filepath.Dir(at.file())), image.Remove(at.preparedFile())); err != nil {
		return fail(err)
	}
	return ctx.Err()
}

// showImage seals and mounts the image of at, as opts say.
func (r *Root) showImage(at places, opts FillOptions) (*seal.Report, error) {
	if r.mounts {
		up, err := mounted(at.path)
		if err == nil && !up {
			err = placeMount(at.file(), at.path, false)
		}
		if err != nil {
			return nil, fmt.Errorf("mounting %s: %w", at.file(), err)
		}
	}
	if opts.NoSeal {
		return nil, nil
	}
	rep, err := seal.Image(at.file(), at.path, seal.Options{NoMount: true})
	return &rep, err
}

// takeImage takes the image of a slot away: readers see the empty store below it.
// What runs from the image goes on. The file is at retiringImage then.
func (r *Root) takeImage(n Name) error {
	at := r.places(n)
	fail := func(err error) error { return fmt.Errorf("emptying slot %s: %w", n, err) }
	if err := r.step("unmount"); err != nil {
		return err
	}
	if err := r.unsettle(n); err != nil {
		return err
	}
	if err := seal.UnmountImage(at.path); err != nil {
		return fail(err)
	}
	if err := r.step("exchange"); err != nil {
		return err
	}
	var unsupported *seal.UnsupportedError
	if _, err := seal.FlagImage(at.file(), false); err != nil && !errors.As(err, &unsupported) {
		return fail(err)
	}
	if err := os.Rename(at.file(), r.retiringImage(n)); err != nil {
		return fail(err)
	}
	if err := r.step("exchanged"); err != nil {
		return err
	}
	if err := errors.Join(atomicfile.SyncDir(r.dir), atomicfile.SyncDir(r.work())); err != nil {
		return fail(err)
	}
	return r.remount(n)
}

// putImageBack undoes takeImage.
func (r *Root) putImageBack(n Name) error {
	at := r.places(n)
	if err := r.unsettle(n); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, r.retiringImage(n), unix.AT_FDCWD, at.file(), unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("putting the image of slot %s back: %w", n, os.NewSyscallError("renameat2", err))
	}
	if err := r.step("put back"); err != nil {
		return err
	}
	if err := errors.Join(atomicfile.SyncDir(r.dir), r.mountImages(n)); err != nil {
		return err
	}
	return r.settled(n)
}

// sweepImages removes what is left of images of slot n that were taken away or not put
// in place.
func (r *Root) sweepImages(n Name) (removed []string, err error) {
	for _, path := range r.strayImages(n) {
		if err := image.Remove(path); err != nil {
			return removed, err
		}
		removed = append(removed, path)
	}
	return removed, nil
}

// strayImages are what sweepImages removes.
func (r *Root) strayImages(n Name) []string {
	at := r.places(n)
	// Earlier versions took images away under the first of these names.
	stray := []string{r.swap(n) + image.Suffix, at.file() + image.DigestSuffix + atomicfile.Suffix}
	for _, file := range []string{at.file(), at.preparedFile()} {
		if !isFile(file) && !isFile(r.retiringImage(n)) {
			stray = append(stray, file+image.DigestSuffix)
		}
	}
	return slices.DeleteFunc(stray, func(path string) bool { return !there(path) })
}
