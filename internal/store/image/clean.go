package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/rmtree"
	"github.com/nodeseal/nodeseal/internal/seal"
)

// Leftovers returns what an interrupted import to path has left: files in the
// making, the directory in which an image is tried, a digest with no image, and a mount point
// in the making.
func Leftovers(path string) ([]string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", path, err)
	}
	candidates := []string{
		PartialName(abs), spoolName(abs), splitsName(abs), tablesName(abs), workName(abs), abs + DigestSuffix + ".partial",
	}
	if point, ok := strings.CutSuffix(abs, Suffix); ok {
		candidates = append(candidates, pointName(point))
	}
	if _, err := os.Lstat(abs); errors.Is(err, fs.ErrNotExist) {
		candidates = append(candidates, abs+DigestSuffix)
	}
	var found []string
	for _, name := range candidates {
		if _, err := os.Lstat(name); err == nil {
			found = append(found, name)
		}
	}
	return found, nil
}

// Clean removes what an interrupted import to path has left, and returns what that
// was. An image that is there stays. The error wraps filelock.ErrBusy where an import
// is at work.
func Clean(path string) ([]string, error) {
	found, err := Leftovers(path)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", path, err)
	}
	f, err := openLocked(PartialName(abs))
	if err != nil {
		return nil, err
	}
	now, err := Leftovers(abs) // an import may have ended before the lock was taken
	err = errors.Join(err, (&output{target: abs, image: f}).close(false))
	found = slices.DeleteFunc(found, func(name string) bool { return !slices.Contains(now, name) })
	for _, name := range found {
		if rerr := rmtree.RemoveAll(name); rerr != nil {
			err = errors.Join(err, fmt.Errorf("cleaning: %w", rerr))
		}
	}
	return found, err
}

// Remove removes the image path, which nothing shows any more, and its digest. What
// still has it mounted goes on; its room is free when that ends.
func Remove(path string) error {
	if _, err := os.Lstat(path); err == nil {
		var unsupported *seal.UnsupportedError
		if _, err := seal.FlagImage(path, false); err != nil && !errors.As(err, &unsupported) {
			return fmt.Errorf("removing %s: %w", path, err)
		}
	}
	for _, name := range []string{path, path + DigestSuffix} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the image: %w", err)
		}
	}
	return nil
}
