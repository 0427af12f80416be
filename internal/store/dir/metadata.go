package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// writeMetadata writes everything but the layers' contents and tar-splits.
func (im *importer) writeMetadata(ctx context.Context) error {
	facts := make(map[digest.Digest]store.Facts, len(im.work))
	for _, j := range im.work {
		facts[j.layers[0].DiffID] = store.Facts{DiffSize: j.done.DiffSize, UIDs: j.done.UIDs, GIDs: j.done.GIDs}
	}
	files, err := im.plan.Files(facts, im.src.RawInventory())
	if err != nil {
		return fmt.Errorf("making metadata: %w", err)
	}
	return im.label.creating(func() error {
		made := make(map[string]bool)
		for _, f := range files {
			if err := im.writeFile(ctx, f, made); err != nil {
				return fmt.Errorf("writing %s: %w", f.Path, err)
			}
		}
		return nil
	})
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
