package dir

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nodeseal/nodeseal/internal/store"
	"golang.org/x/sys/unix"
)

// WriteEmpty writes a store without images into the directory target, which
// must not exist, and syncs it. It is not atomic: the caller renames it.
func WriteEmpty(target string) error {
	label := newLabeller()
	err := label.creating(func() error {
		if err := os.Mkdir(target, 0o700); err != nil {
			return err
		}
		for _, f := range store.EmptyFiles() {
			path := filepath.Join(target, f.Path)
			if f.Dir {
				if err := os.Mkdir(path, os.FileMode(f.Mode)); err != nil {
					return err
				}
				continue
			}
			if err := os.WriteFile(path, f.Content, os.FileMode(f.Mode)); err != nil {
				return err
			}
			if err := os.Chmod(path, os.FileMode(f.Mode)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("making an empty store: %w", err)
	}
	err = filepath.WalkDir(target, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			err = label.verify(path)
		}
		if err == nil {
			err = setTime(path, time.Unix(0, 0))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("making an empty store: %w", err)
	}
	f, err := os.Open(target)
	if err != nil {
		return fmt.Errorf("making an empty store: %w", err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncing an empty store: %w", err)
	}
	return nil
}

// Label returns the SELinux label that everything in a store must have on this
// machine, "" where SELinux is off.
func Label() string { return newLabeller().label }
