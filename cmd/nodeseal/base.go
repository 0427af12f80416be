package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/base"
	"github.com/nodeseal/nodeseal/internal/carry"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
)

// baseOptions say where the layers are that a bundle leaves to its base.
type baseOptions struct{ paths []string }

func (o *baseOptions) addFlags(cmd *cobra.Command, where string) {
	cmd.Flags().StringArrayVar(&o.paths, "base", nil,
		"`STORE|BUNDLE` to take the layers from that a bundle of --since leaves out; may be repeated (default: "+where+" that have them)")
}

// defaultBases is where a base is looked for on a node, in words.
const defaultBases = "the slots, and the bundles beside BUNDLE,"

// based is a source that has everything.
type based struct {
	src store.Source
	// from is src, nil where the bundle left nothing to a base.
	from   *base.Source
	places []*base.Place
}

// complete gives src, which is the bundle f at path or images of it, the layers
// that f leaves to its base: from what --base names, else from the stores and the
// bundles beside f, as far as they are there. The caller closes it.
func (o *baseOptions) complete(ctx context.Context, a *app, path string, f *archive.File, src store.Source, stores []string, opts base.Options) (_ *based, err error) {
	b := &based{src: src}
	left := f.Inventory().Base
	if left == nil {
		return b, nil
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if len(o.paths) > 0 {
		err = b.open(ctx, o.paths)
	} else {
		err = b.search(ctx, a, path, stores)
	}
	if err != nil {
		return nil, err
	}
	if b.from, err = base.Complete(ctx, src, left, b.places, opts); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b.src = b.from
	return b, nil
}

// open opens the bases that were named: all must be there.
func (b *based) open(ctx context.Context, paths []string) error {
	for _, path := range paths {
		p, err := base.Open(ctx, path)
		if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, bundle.ErrDamaged) {
			return preconditionError{&missingBaseError{path, err}}
		}
		if err != nil {
			return err
		}
		b.places = append(b.places, p)
	}
	return nil
}

// missingBaseError says that there is nothing at a path of --base.
type missingBaseError struct {
	path string
	err  error
}

// Error says what was looked for.
func (e *missingBaseError) Error() string { return fmt.Sprintf("--base %s: %v", e.path, e.err) }

// Unwrap returns the cause.
func (e *missingBaseError) Unwrap() error { return e.err }

// search opens the stores and the bundles beside path.
func (b *based) search(ctx context.Context, a *app, path string, stores []string) error {
	_, file, err := split.Find(path)
	if err != nil {
		return err
	}
	names, err := carry.Bundles(filepath.Dir(file))
	if err != nil {
		return err
	}
	candidates := slices.Clone(stores)
	for _, name := range names {
		if beside := filepath.Join(filepath.Dir(file), name); name != filepath.Base(file) {
			candidates = append(candidates, beside)
		}
	}
	for _, path := range candidates {
		p, err := base.Open(ctx, path)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, bundle.ErrDamaged):
		case err != nil:
			a.progress().Warn(fmt.Sprintf("nothing is taken from %s: %v", path, err))
		default:
			b.places = append(b.places, p)
		}
	}
	return nil
}

func (b *based) close() {
	for _, p := range b.places {
		p.Close() //nolint:errcheck // read only
	}
}

// stores are the stores among the bases whose files can be linked.
func (b *based) stores() []string {
	var out []string
	if b.from != nil {
		for _, p := range b.places {
			if p.Links() {
				out = append(out, p.Path())
			}
		}
	}
	return out
}

// blame says of an error that the base is at fault, where it is.
func (b *based) blame(err error) error {
	if b.from == nil || err == nil {
		return err
	}
	return b.from.Blame(err)
}

// stores are the stores that a node has for a base.
func (o *slotOptions) stores() ([]string, error) {
	root, err := slot.Open(o.path(o.root), slot.Options{})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range slot.Names() {
		out = append(out, root.Path(n))
	}
	return out, nil
}

// onNode completes src for this node. links says that the store is a directory.
func (o *baseOptions) onNode(ctx context.Context, a *app, path string, f *archive.File, src store.Source, slots *slotOptions, links bool) (*based, error) {
	stores, err := slots.stores()
	if err != nil {
		return nil, err
	}
	return o.complete(ctx, a, path, f, src, stores, base.Options{Architecture: runtime.GOARCH, Links: links})
}
