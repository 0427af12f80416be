package dir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"golang.org/x/sys/unix"
)

// linkAll gives contents that several layers share to all of them, and every
// layer the attributes of its root directory.
func (im *importer) linkAll(ctx context.Context) error {
	return im.label.creating(func() error {
		for _, j := range im.work {
			for _, l := range j.layers[1:] {
				if err := ctx.Err(); err != nil {
					return err //nolint:wrapcheck // the caller's own
				}
				if err := im.linkLayer(j.layers[0], l); err != nil {
					return &store.Error{Op: "linking layer", Image: l.Image, Digest: l.DiffID, Err: err}
				}
				im.result.Linked++
			}
		}
		return im.setRoots()
	})
}

// linkLayer makes the directory of to from that of from.
func (im *importer) linkLayer(from, to *store.Layer) error {
	diff, err := im.makeDiff(to)
	if err != nil {
		return err
	}
	defer diff.Close()
	source, err := os.Open(filepath.Join(im.partial.store, store.DiffDir(from.ID)))
	if err != nil {
		return fmt.Errorf("opening the layer's contents: %w", err)
	}
	defer source.Close()
	if err := linkTree(source, diff, hardLink); err != nil {
		return err
	}
	oldSplit := filepath.Join(im.partial.store, store.TarSplitFile(from.ID))
	newSplit := filepath.Join(im.partial.store, store.TarSplitFile(to.ID))
	if err := os.Remove(newSplit); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("linking tar-split: %w", err)
	}
	if err := os.Link(oldSplit, newSplit); err != nil {
		return fmt.Errorf("linking tar-split: %w", err)
	}
	return nil
}

// placer puts the file name of the directory from, which is no directory, into
// the directory to.
type placer func(from, to *os.File, name string) error

func hardLink(from, to *os.File, name string) error {
	return unix.Linkat(int(from.Fd()), name, int(to.Fd()), name, 0) //nolint:wrapcheck // linkTree wraps it
}

// linkTree fills the empty directory to with what from has: directories of its
// own, with the same attributes, and everything else as place does it.
func linkTree(from, to *os.File, place placer) error {
	entries, err := from.ReadDir(-1)
	if err != nil {
		return fmt.Errorf("reading the layer's contents: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			if err := place(from, to, e.Name()); err != nil {
				return fmt.Errorf("linking %s: %w", e.Name(), err)
			}
			continue
		}
		if err := linkDir(from, to, e.Name(), place); err != nil {
			return err
		}
	}
	return copyXattrs(from, to)
}

func linkDir(from, to *os.File, name string, place placer) error {
	if err := unix.Mkdirat(int(to.Fd()), name, 0o700); err != nil {
		return fmt.Errorf("making directory %s: %w", name, err)
	}
	source, err := openDirAt(from, name)
	if err != nil {
		return err
	}
	defer source.Close()
	dest, err := openDirAt(to, name)
	if err != nil {
		return err
	}
	defer dest.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(source.Fd()), &st); err != nil {
		return fmt.Errorf("attributes of %s: %w", name, err)
	}
	if err := linkTree(source, dest, place); err != nil {
		return err
	}
	if err := unix.Fchown(int(dest.Fd()), int(st.Uid), int(st.Gid)); err != nil {
		return fmt.Errorf("owner of %s: %w", name, err)
	}
	if err := unix.Fchmod(int(dest.Fd()), st.Mode&0o7777); err != nil {
		return fmt.Errorf("mode of %s: %w", name, err)
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(int(to.Fd()), name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("times of %s: %w", name, err)
	}
	return nil
}

func openDirAt(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening directory %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir.Name(), name)), nil
}

// setRoots gives the root directory of every layer its attributes: the tar's,
// else those of the layer below, at the very bottom the library's default.
func (im *importer) setRoots() error {
	own := make(map[*store.Layer]*extract.Root)
	for _, j := range im.work {
		for _, l := range j.layers {
			own[l] = j.done.Root
		}
	}
	has := make(map[*store.Layer]*extract.Root)
	for _, l := range im.plan.Layers { // parents come first
		root := extract.Inherited(has[l.Parent])
		if own[l] != nil {
			root = *own[l]
		}
		has[l] = &root
		path := filepath.Join(im.partial.store, store.DiffDir(l.ID))
		if err := im.setRoot(path, root); err != nil {
			return &store.Error{Op: "finishing layer", Image: l.Image, Digest: l.DiffID, Err: err}
		}
	}
	return nil
}

func (im *importer) setRoot(path string, root extract.Root) error {
	err := os.Lchown(path, root.UID, root.GID)
	if im.userNS && errors.Is(err, unix.EINVAL) {
		err = os.Lchown(path, 0, 0)
	}
	if err != nil {
		return fmt.Errorf("owner of its root directory: %w", err)
	}
	if err := unix.Chmod(path, root.Mode); err != nil {
		return fmt.Errorf("mode of its root directory: %w", err)
	}
	return setTime(path, root.Modified)
}
