package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Image makes the store image file immutable and mounts it at dir, unless
// opts.NoMount. It may be called again at any time, as after a restart.
func Image(file, dir string, opts Options) (Report, error) {
	changed, err := FlagImage(file, true)
	if err == nil && !opts.NoMount {
		err = MountImage(file, dir, opts.Label)
	}
	return imageReport(file, dir, changed, err)
}

// UnsealImage takes the mount and the flag away, so that the file can be removed.
// It may be called again at any time.
func UnsealImage(file, dir string) (Report, error) {
	if err := UnmountImage(dir); err != nil {
		return Report{}, err
	}
	changed, err := FlagImage(file, false)
	return imageReport(file, dir, changed, err)
}

// ImageState reports how the store image file stands, which belongs at dir. It
// changes nothing.
func ImageState(file, dir string) (Report, error) { return imageReport(file, dir, false, nil) }

// imageReport says how an image stands after a call that ended with err.
func imageReport(file, dir string, changed bool, err error) (Report, error) {
	if err != nil {
		return Report{}, err
	}
	r := Report{Dir: dir, FSType: imageType, Targets: 1}
	if changed {
		r.Changed = 1
	}
	s, name, err := imageStore(file)
	if err != nil {
		return Report{}, err
	}
	set, _, err := s.look(name, "")
	if err != nil {
		return Report{}, err
	}
	if set {
		r.Immutable = 1
	}
	if r.Mounted, err = ImageMounted(dir); err != nil {
		return Report{}, err
	}
	if r.Mounted {
		r.Notes = append(r.Notes, noteMounted)
	}
	return r, nil
}

// DigestSuffix ends the name of the file beside an image that holds its SHA-256.
const DigestSuffix = ".sha256"

// FlagImage makes the image file, and the file with its digest where there is one,
// immutable, or takes that from them, and waits for the disk. It reports whether
// anything had to be changed. Mounts stay as they are.
func FlagImage(file string, immutable bool) (bool, error) {
	to := func(flags uint32) uint32 { return flags &^ flagImmutable }
	if immutable {
		to = func(flags uint32) uint32 { return flags | flagImmutable }
	}
	s, name, err := imageStore(file)
	if err != nil {
		return false, err
	}
	changed, err := s.changeOne(name, to)
	if err != nil {
		return false, err
	}
	also, err := s.changeOne(name+DigestSuffix, to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return changed, err
	}
	if !changed && !also {
		return false, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return true, fmt.Errorf("syncing the flag of %s: %w", file, err)
	}
	defer f.Close()
	if err := unix.Fsync(int(f.Fd())); err != nil && !errors.Is(err, unix.EINVAL) {
		return true, fmt.Errorf("syncing the flag of %s: %w", file, err)
	}
	return true, nil
}

// imageStore takes the file for a store of one file.
func imageStore(file string) (*store, string, error) {
	abs, err := filepath.Abs(file)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return nil, "", fmt.Errorf("looking for the image: %w", err)
	}
	return &store{dir: filepath.Dir(abs)}, filepath.Base(abs), nil
}
