package seal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/safefile"
)

// open resolves and opens the directory of a store.
func open(dir string) (*store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(abs, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &store{dir: abs, f: f}, nil
}

// check says whether the directory holds what readers of a sealed store need.
// It reports everything that is wrong.
func (s *store) check() error {
	var errs []error
	for _, name := range []string{"overlay", "overlay-images", "overlay-layers"} {
		info, err := os.Lstat(filepath.Join(s.dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("%w: no directory %s", ErrNotAStore, name))
		case err != nil:
			errs = append(errs, err)
		case !info.IsDir():
			errs = append(errs, fmt.Errorf("%w: %s is not a directory", ErrNotAStore, name))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, name := range []string{"overlay-images/images.lock", "overlay-layers/layers.lock"} {
		info, err := os.Lstat(filepath.Join(s.dir, name))
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		case err != nil, !info.Mode().IsRegular(), info.Size() == 0:
			errs = append(errs, fmt.Errorf("%w: %s", ErrLockFile, name))
		}
	}
	return errors.Join(errs...)
}

// names are the parts of a store, by path below its directory.
type names struct {
	// targets carry the flag: what is in a directory comes before it, so that
	// a sealed directory says that all below it is sealed.
	targets []string
	diffs   []string // directories of layers' contents, which never do
}

// maxEntries is how many entries a directory of a store may have.
const maxEntries = 1 << 20

// missing says of the error about a folder of the store that the store has no such
// folder: a link in its place leads to files of others.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, safefile.ErrNotRegular) || errors.Is(err, unix.ENOTDIR)
}

// names lists what the seal covers. Parts that are missing are left out.
func (s *store) names(ctx context.Context) (names, error) {
	var n names
	for _, top := range []string{"overlay-images", "overlay-layers", "nodeseal"} {
		if err := s.addTree(ctx, &n, top); err != nil {
			return names{}, err
		}
	}
	layers, err := s.readDir(ctx, "overlay")
	if missing(err) {
		return n, nil
	}
	if err != nil {
		return names{}, err
	}
	for _, e := range layers {
		name := filepath.Join("overlay", e.Name())
		switch {
		case !e.IsDir():
		case e.Name() == "l": // full of symbolic links
			n.targets = append(n.targets, name)
		default:
			if err := s.addLayer(ctx, &n, name); err != nil {
				return names{}, err
			}
		}
	}
	n.targets = append(n.targets, "overlay")
	return n, nil
}

// addLayer adds one directory of overlay and its small files, if it is a
// layer's: one that holds a diff.
func (s *store) addLayer(ctx context.Context, n *names, layer string) error {
	entries, err := s.readDir(ctx, layer)
	if err != nil {
		return err
	}
	isLayer := false
	var files []string
	for _, e := range entries {
		switch e.Name() {
		case "diff":
			isLayer = e.IsDir()
		case "link", "lower", "lower-layers":
			if e.Type().IsRegular() {
				files = append(files, filepath.Join(layer, e.Name()))
			}
		}
	}
	if !isLayer {
		return nil
	}
	n.targets = append(append(n.targets, files...), layer)
	n.diffs = append(n.diffs, filepath.Join(layer, "diff"))
	return nil
}

// originals is the folder of layers that are kept as the registry has them. Its files have
// no flag, as those of layers' contents: the next store has hard links to them.
const originals = "nodeseal/layers"

// addTree adds the files and directories of a tree, if it is there.
func (s *store) addTree(ctx context.Context, n *names, name string) error {
	entries, err := s.readDir(ctx, name)
	if missing(err) && !strings.Contains(name, "/") {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		below := filepath.Join(name, e.Name())
		switch {
		case e.IsDir():
			if err := s.addTree(ctx, n, below); err != nil {
				return err
			}
		case e.Type().IsRegular() && !strings.HasPrefix(name, originals):
			n.targets = append(n.targets, below)
		}
	}
	n.targets = append(n.targets, name)
	return nil
}

func (s *store) readDir(ctx context.Context, name string) ([]fs.DirEntry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := s.root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.ReadDir(name, maxEntries)
}
