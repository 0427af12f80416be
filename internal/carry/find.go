package carry

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

const (
	// bundleSuffix ends the name of every bundle.
	bundleSuffix = ".tar.zst"
	// maxEntries is how many entries the directory of a stick may have, maxBundles how many
	// of them may be bundles: each is opened to see what it builds on.
	maxEntries = 1 << 16
	maxBundles = 64
)

var (
	// ErrNoBundle reports a directory with no bundle.
	ErrNoBundle = errors.New("no bundle here")
	// ErrBundles reports a directory with more than one bundle of which none is the
	// base of another: which one is meant nobody can know.
	ErrBundles = errors.New("more than one bundle here")
)

// Find returns the path of the one bundle in a directory, also one in parts.
// Bundles that it builds on may lie beside it. The error wraps ErrNoBundle or
// ErrBundles, or bundle.ErrUnsupported if which one is meant cannot be known because a later
// version is needed to read one.
func Find(ctx context.Context, dir string) (string, error) {
	names, err := Bundles(dir)
	if len(names) > maxBundles {
		return "", fmt.Errorf("%s: %w: %d, at most %d are looked at", dir, ErrBundles, len(names), maxBundles)
	}
	var tooNew error
	if len(names) > 1 {
		var all map[string]origin
		all, tooNew = lineage(ctx, dir, names)
		names = slices.DeleteFunc(names, func(n string) bool {
			return slices.ContainsFunc(names, func(o string) bool { return all[n].id != "" && all[o].base == all[n].id })
		})
	}
	switch {
	case err != nil:
		return "", err
	case len(names) == 0:
		return "", fmt.Errorf("%s: %w", dir, ErrNoBundle)
	case len(names) > 1 && tooNew != nil:
		return "", tooNew
	case len(names) > 1:
		return "", fmt.Errorf("%s: %w: %s", dir, ErrBundles, strings.Join(names, ", "))
	}
	return filepath.Join(dir, names[0]), nil
}

// origin says which bundle one is, and on which one it builds: digests of whole
// inventories, "" where that is not known.
type origin struct{ id, base digest.Digest }

// lineage reads the inventories of bundles. One that cannot be read is nobody's
// base. tooNew is the error of one that a later version is needed for.
func lineage(ctx context.Context, dir string, names []string) (all map[string]origin, tooNew error) {
	all = make(map[string]origin, len(names))
	for _, n := range names {
		f, err := archive.OpenFile(ctx, filepath.Join(dir, n))
		if errors.Is(err, bundle.ErrUnsupported) {
			tooNew = err
		}
		if err != nil {
			continue // who imports it says why
		}
		inv := f.Inventory()
		if raw, err := inv.WholeBytes(f.RawInventory()); err == nil {
			o := origin{id: digest.FromBytes(raw)}
			if inv.Base != nil {
				o.base = inv.Base.Inventory
			}
			all[n] = o
		}
		f.Close() //nolint:errcheck // read only
	}
	return all, tooNew
}

// Bundles returns the names of the bundles in a directory, without those of
// parts.
func Bundles(dir string) ([]string, error) {
	root, err := safefile.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("looking for a bundle: %w", err)
	}
	defer root.Close()
	entries, err := root.ReadDir(".", maxEntries)
	if err != nil {
		return nil, fmt.Errorf("looking for a bundle: %w", err)
	}
	var names []string
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), split.Suffix)
		// macOS leaves files that begin with a dot.
		if strings.HasSuffix(name, bundleSuffix) && !strings.HasPrefix(name, ".") && !e.IsDir() {
			names = append(names, name)
		}
	}
	return names, nil
}
