package base

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/carry"
	"github.com/nodeseal/nodeseal/internal/store"
)

// NotThereError reports a named base that is not there. It wraps
// store.ErrPrecondition.
type NotThereError struct {
	Path string
	Err  error
}

// Error implements error.
func (e *NotThereError) Error() string { return fmt.Sprintf("--base %s: %v", e.Path, e.Err) }

// Unwrap returns store.ErrPrecondition and the cause.
func (e *NotThereError) Unwrap() []error { return []error{store.ErrPrecondition, e.Err} }

// Finder says where bases are looked for.
type Finder struct {
	// Named are stores and bundles, all of which must be there. If there are none, the
	// Stores and the bundles beside the one to complete are searched.
	Named, Stores []string
	// Warn is told why nothing is taken from a place that was found; it may be nil.
	Warn func(string)
}

// Completed is a source that has everything.
type Completed struct {
	store.Source
	// Base is that source too, and gives what the bundle leaves to its base; nil if
	// that is nothing.
	Base   *Source
	places []*Place
}

// Complete gives src, which is the bundle f at path or images of it, the layers
// that f leaves to its base. If some are nowhere the error is a *MissingError; for a
// named base a *NotThereError. The caller closes what it returns.
func (s *Finder) Complete(ctx context.Context, path string, f *archive.File, src store.Source, opts Options) (_ *Completed, err error) {
	c := &Completed{Source: src}
	left := f.Inventory().Base
	if left == nil {
		return c, nil
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if len(s.Named) > 0 {
		err = c.open(ctx, s.Named)
	} else {
		err = c.search(ctx, s, path)
	}
	if err != nil {
		return nil, err
	}
	if c.Base, err = Complete(ctx, src, left, c.places, opts); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.Source = c.Base
	return c, nil
}

// open opens the bases that were named.
func (c *Completed) open(ctx context.Context, paths []string) error {
	for _, path := range paths {
		p, err := Open(ctx, path)
		if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, bundle.ErrDamaged) {
			return &NotThereError{path, err}
		}
		if err != nil {
			return err
		}
		c.places = append(c.places, p)
	}
	return nil
}

// search opens the stores and the bundles beside path.
func (c *Completed) search(ctx context.Context, s *Finder, path string) error {
	_, file, err := split.Find(path)
	if err != nil {
		return err
	}
	names, err := carry.Bundles(filepath.Dir(file))
	if err != nil {
		return err
	}
	candidates := slices.Clone(s.Stores)
	for _, name := range names {
		if beside := filepath.Join(filepath.Dir(file), name); name != filepath.Base(file) {
			candidates = append(candidates, beside)
		}
	}
	for _, path := range candidates {
		p, err := Open(ctx, path)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, bundle.ErrDamaged):
		case err == nil:
			c.places = append(c.places, p)
		case s.Warn != nil:
			s.Warn(fmt.Sprintf("nothing is taken from %s: %v", path, err))
		}
	}
	return nil
}

// Close closes the bases.
func (c *Completed) Close() {
	if c.Base != nil {
		_ = c.Base.Close() // what it holds has no name
	}
	for _, p := range c.places {
		_ = p.Close() // it was only read
	}
}

// Stores are the stores among the bases whose files can be linked.
func (c *Completed) Stores() []string {
	var out []string
	if c.Base != nil {
		for _, p := range c.places {
			if p.Links() {
				out = append(out, p.Path())
			}
		}
	}
	return out
}

// Beside is how many bytes a work file takes while layers are made of the files of bundles.
func (c *Completed) Beside() int64 {
	if c.Base == nil {
		return 0
	}
	return c.Base.Beside()
}

// Blame says of an error that the base is at fault, if it is.
func (c *Completed) Blame(ctx context.Context, err error) error {
	if c.Base == nil || err == nil {
		return err
	}
	return c.Base.Blame(ctx, err)
}
