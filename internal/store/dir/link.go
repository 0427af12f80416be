package dir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/dirents"
	"github.com/nodeseal/nodeseal/internal/store"
	"golang.org/x/sys/unix"
)

// Join implements build.Writer: it gives contents that several layers share to all of
// them.
func (im *importer) Join(ctx context.Context) error {
	im.syncer.last()
	return im.label.creating(func() error {
		for _, j := range im.jobs {
			for _, l := range j.Layers[1:] {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := im.linkLayer(j.First(), l); err != nil {
					return &store.Error{Op: "linking layer", Image: l.Image, Digest: l.DiffID, Err: err}
				}
				im.linked++
			}
		}
		return nil
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
	if err := linkTree(folderOf(source), folderOf(diff), hardLink); err != nil {
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

// folder is an open directory. Its path is for messages, and for links to what
// is in it later.
type folder struct {
	fd   int
	path string
}

func folderOf(f *os.File) folder { return folder{int(f.Fd()), f.Name()} }

// folder opens a directory in it.
func (f folder) folder(name string) (folder, error) {
	fd, err := unix.Openat(f.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return folder{}, fmt.Errorf("opening directory %s: %w", name, err)
	}
	return folder{fd, f.path + "/" + name}, nil
}

func (f folder) close() { _ = unix.Close(f.fd) } // it is synced with the file system

// placer puts the file name of the directory from, which is no directory, into
// the directory to.
type placer func(from, to folder, name string) error

func hardLink(from, to folder, name string) error {
	return unix.Linkat(from.fd, name, to.fd, name, 0)
}

// linkTree fills the empty directory to with what from has: directories of its
// own, with the same attributes, and everything else as place does it.
func linkTree(from, to folder, place placer) error {
	entries, err := dirents.Read(from.fd)
	if err != nil {
		return fmt.Errorf("reading the layer's contents: %w", err)
	}
	for _, e := range entries {
		if e.Dir {
			err = linkDir(from, to, e.Name, place)
		} else if err = place(from, to, e.Name); err != nil {
			err = fmt.Errorf("linking %s: %w", e.Name, err)
		}
		if err != nil {
			return err
		}
	}
	return copyXattrs(from, to)
}

func linkDir(from, to folder, name string, place placer) error {
	if err := unix.Mkdirat(to.fd, name, 0o700); err != nil {
		return fmt.Errorf("making directory %s: %w", name, err)
	}
	source, err := from.folder(name)
	if err != nil {
		return err
	}
	defer source.close()
	dest, err := to.folder(name)
	if err != nil {
		return err
	}
	defer dest.close()
	var st unix.Stat_t
	if err := unix.Fstat(source.fd, &st); err != nil {
		return fmt.Errorf("attributes of %s: %w", name, err)
	}
	if err := linkTree(source, dest, place); err != nil {
		return err
	}
	if err := unix.Fchown(dest.fd, int(st.Uid), int(st.Gid)); err != nil {
		return fmt.Errorf("owner of %s: %w", name, err)
	}
	if err := unix.Fchmod(dest.fd, st.Mode&0o7777); err != nil {
		return fmt.Errorf("mode of %s: %w", name, err)
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(to.fd, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("times of %s: %w", name, err)
	}
	return nil
}
