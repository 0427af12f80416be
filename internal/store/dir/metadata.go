package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"golang.org/x/sys/unix"
)

// Metadata implements build.Writer.
func (im *importer) Metadata(ctx context.Context, files iter.Seq[store.File], roots build.Roots) error {
	for l, root := range roots {
		if err := im.setRoot(filepath.Join(im.partial.store, store.DiffDir(l.ID)), root); err != nil {
			return &store.Error{Op: "finishing layer", Image: l.Image, Digest: l.DiffID, Err: err}
		}
	}
	return im.label.creating(func() error {
		made := make(map[string]bool)
		for f := range files {
			if err := im.writeFile(ctx, f, made); err != nil {
				return fmt.Errorf("writing %s: %w", f.Path, err)
			}
		}
		return nil
	})
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

// writeFile writes one file of the store. made are the folders that are there.
func (im *importer) writeFile(ctx context.Context, f store.File, made map[string]bool) error {
	path := filepath.Join(im.partial.store, filepath.FromSlash(f.Path))
	if dir := filepath.Dir(path); !made[dir] {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		made[dir] = true
	}
	if f.Link != "" {
		return os.Symlink(f.Link, path)
	}
	if f.Dir {
		if err := os.Mkdir(path, os.FileMode(f.Mode)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	}
	content := f.Content
	if f.Blob != "" {
		var err error
		if content, err = im.src.ReadBlob(ctx, f.Blob); err != nil {
			return &store.Error{Kind: blob.Kind(err), Op: "reading blob", Digest: f.Blob, Err: err}
		}
	}
	if err := os.WriteFile(path, content, os.FileMode(f.Mode)); err != nil {
		return err
	}
	return os.Chmod(path, os.FileMode(f.Mode))
}

// stampTimes sets the time of everything outside of the layers' contents to the
// epoch, and verifies labels on the way: two nodes have the same store.
func (im *importer) stampTimes() error {
	root := im.partial.store
	overlay := filepath.Join(root, store.OverlayDir)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := im.label.verify(path); err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "diff" && filepath.Dir(filepath.Dir(path)) == overlay {
			return filepath.SkipDir
		}
		return setTime(path, time.Unix(0, 0))
	})
	if err != nil {
		return fmt.Errorf("setting times: %w", err)
	}
	return nil
}

// setTime sets the times of path, which may be a symbolic link.
func setTime(path string, t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err == nil {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("times of %s: %w", path, err)
	}
	return nil
}
