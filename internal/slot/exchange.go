package slot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/rmtree"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"golang.org/x/sys/unix"
)

// places are where the stores of one exchange are, all on one file system.
type places struct {
	// path is the store that readers know, prepared the finished one that waits
	// for the exchange, swap what is in the exchange or was replaced by it.
	path, prepared, swap string
	// slot is "" for a single store.
	slot Name
}

// Where a store is an image, that is a file beside each place; path holds an empty
// store then, at which the image is mounted.
func (p places) file() string         { return p.path + image.Suffix }
func (p places) preparedFile() string { return p.prepared + image.Suffix }

func (r *Root) places(n Name) places {
	return places{path: r.Path(n), prepared: r.prepared(n), swap: r.swap(n), slot: n}
}

// exchange puts the finished store from in the place of at.path. What that held
// is at at.swap then, and its mount is away: the caller brings it back and says settled.
func (r *Root) exchange(at places, from string) error {
	fail := func(err error) error { return fmt.Errorf("exchanging %s: %w", at.path, err) }
	// What is replaced is removed afterwards.
	if err := rmtree.Below(filepath.Dir(at.path), filepath.Base(at.path)); err != nil {
		return fail(mountedInside(err))
	}
	if err := r.step("swap"); err != nil {
		return err
	}
	// From here on the store counts as used up: after a kill nobody could tell
	// which of the two is the old one.
	if from != at.swap {
		if err := os.Rename(from, at.swap); err != nil {
			return fail(err)
		}
	}
	if err := r.step("unmount"); err != nil {
		return err
	}
	if err := r.unsettle(at.slot); err != nil {
		return err
	}
	// A directory that something is mounted on cannot be renamed. Below the
	// mount is the same store, still valid.
	if err := unmountAll(at.path); err != nil {
		return fail(err)
	}
	if err := r.step("exchange"); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, at.swap, unix.AT_FDCWD, at.path, unix.RENAME_EXCHANGE); err != nil {
		return fail(os.NewSyscallError("renameat2", err))
	}
	if err := r.step("exchanged"); err != nil {
		return err
	}
	return errors.Join(atomicfile.SyncDir(filepath.Dir(at.path)), atomicfile.SyncDir(filepath.Dir(at.swap)))
}

// protect seals the store at path before or after it is a slot. mount says
// whether it is mounted too. Where need is false a file system without
// immutable flags is no error.
func protect(ctx context.Context, path string, mount, need bool) (seal.Report, error) {
	rep, err := seal.Seal(ctx, path, seal.Options{NoMount: !mount, Label: dir.Label()})
	var unsupported *seal.UnsupportedError
	if !need && errors.As(err, &unsupported) {
		return rep, nil
	}
	return rep, err
}

// goneSuffix ends the name of a store that is being removed. Before the first file of it is
// removed it has that name, so that after a kill no command takes the rest for a store.
const goneSuffix = ".gone"

// discard removes a store that no reader can find. Nothing of it is removed where
// something is mounted inside; the error wraps store.ErrPrecondition then.
func discard(ctx context.Context, path string) error {
	fail := func(err error) error { return fmt.Errorf("removing %s: %w", path, mountedInside(err)) }
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.IsDir() {
		if err := rmtree.Below(filepath.Dir(path), filepath.Base(path)); err != nil {
			return fail(err)
		}
		if path, err = setAside(ctx, path); err != nil {
			return fail(err)
		}
		var unsupported *seal.UnsupportedError
		if _, err := seal.Unseal(ctx, path); err != nil && !errors.As(err, &unsupported) {
			return fail(err)
		}
	}
	if err := rmtree.Remove(ctx, filepath.Dir(path), filepath.Base(path)); err != nil {
		return fail(err)
	}
	return nil
}

// setAside gives the directory path, which is to be removed, a name that says so.
func setAside(ctx context.Context, path string) (string, error) {
	if strings.HasSuffix(path, goneSuffix) {
		return path, nil
	}
	gone := path + goneSuffix
	if err := discard(ctx, gone); err != nil { // of a command that was killed
		return path, err
	}
	if err := os.Rename(path, gone); err != nil {
		return path, err
	}
	return gone, atomicfile.SyncDir(filepath.Dir(path))
}

// mountedInside says of an error about mounts that the machine has to change.
func mountedInside(err error) error {
	var mounted *rmtree.MountError
	if errors.As(err, &mounted) {
		return fmt.Errorf("%w: %w", store.ErrPrecondition, err)
	}
	return err
}

func (r *Root) emptied(n Name) string { return filepath.Join(r.work(), "empty-"+string(n)) }

// makeEmpty makes an empty store, sealed where the file system can, and returns
// where it is.
func (r *Root) makeEmpty(ctx context.Context, n Name) (string, error) {
	path := r.emptied(n)
	if err := discard(ctx, path); err != nil {
		return "", err
	}
	if err := dir.WriteEmpty(path); err != nil {
		return "", err
	}
	if _, err := protect(ctx, path, false, false); err != nil {
		return "", err
	}
	return path, nil
}
