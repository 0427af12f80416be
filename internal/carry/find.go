package carry

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
)

// bundleSuffix ends the name of every bundle.
const bundleSuffix = ".tar.zst"

var (
	// ErrNoBundle reports a directory with no bundle.
	ErrNoBundle = errors.New("no bundle here")
	// ErrBundles reports a directory with more than one bundle: which one is meant
	// nobody can know.
	ErrBundles = errors.New("more than one bundle here")
)

// Find returns the path of the one bundle in a directory, also one in parts. The
// error wraps ErrNoBundle or ErrBundles.
func Find(dir string) (string, error) {
	names, err := Bundles(dir)
	switch {
	case err != nil:
		return "", err
	case len(names) == 0:
		return "", fmt.Errorf("%s: %w", dir, ErrNoBundle)
	case len(names) > 1:
		return "", fmt.Errorf("%s: %w: %s", dir, ErrBundles, strings.Join(names, ", "))
	}
	return filepath.Join(dir, names[0]), nil
}

// Bundles returns the names of the bundles in a directory, without those of
// parts.
func Bundles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("looking for a bundle: %w", err)
	}
	var names []string
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), bundle.PartsSuffix)
		// macOS leaves files that begin with a dot.
		if strings.HasSuffix(name, bundleSuffix) && !strings.HasPrefix(name, ".") && !e.IsDir() {
			names = append(names, name)
		}
	}
	return names, nil
}
