package slot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/seal"
)

// A slot's mount is taken away for the moment of an exchange. unsettled remembers on
// the disk that it has to come back, so that after a kill in between the next command
// brings it back, whichever command that is.
func (r *Root) unsettled(n Name) string { return filepath.Join(r.work(), "unsettled-"+string(n)) }

// unsettle is called before the mount of slot n is taken away. "" is a single store, which
// has no such note: nodeseal seal mounts it again.
func (r *Root) unsettle(n Name) error {
	if n == "" || !r.mounts {
		return nil
	}
	if err := atomicfile.WriteBytes(r.unsettled(n), 0o600, nil); err != nil {
		return fmt.Errorf("slot %s: %w", n, err)
	}
	return nil
}

// settled is called after it came back, or is not to.
func (r *Root) settled(n Name) error {
	if n == "" {
		return nil
	}
	if err := os.Remove(r.unsettled(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("slot %s: %w", n, err)
	}
	return nil
}

// settle brings the mount of slot n, and the flag of its image, back, if a killed command had
// taken them away.
func (r *Root) settle(n Name) error {
	if _, err := os.Lstat(r.unsettled(n)); err != nil {
		return nil // there is nothing to do
	}
	switch {
	case !r.mounts || !r.Exists(n):
	case r.hasImage(n):
		err := r.mountImage(n)
		if err == nil {
			// One that was mounted before the kill, in the place of another, is not immutable yet.
			err = flag(r.Image(n))
		}
		var bad *ImageError
		if err != nil && !errors.As(err, &bad) {
			return err
		} // a bad one leaves the slot empty, as after a start; who needs the image says why
	default:
		if _, err := readStore(n, r.Path(n)); err != nil {
			return nil // a damaged store stays as it is; a repair settles the slot
		}
		if err := seal.Mount(r.Path(n)); err != nil {
			return err
		}
	}
	return r.settled(n)
}

// sweepPartials removes files of package atomicfile whose writers were killed: who
// writes here holds the lock, as the caller does. They harm nobody: one that cannot be
// removed is left.
func (r *Root) sweepPartials() (removed []string) {
	for _, path := range r.partials() {
		if os.Remove(path) == nil {
			removed = append(removed, path)
		}
	}
	return removed
}

// partials are what sweepPartials removes.
func (r *Root) partials() (paths []string) {
	for _, pattern := range []string{
		filepath.Join(r.dir, ".state.json.*"+atomicfile.Suffix),
		filepath.Join(r.work(), ".*.json.*"+atomicfile.Suffix),
		filepath.Join(r.work(), ".unsettled-*"+atomicfile.Suffix),
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue // not with these patterns
		}
		paths = append(paths, found...)
	}
	return paths
}
