// Package since opens what bundle --since names: an earlier bundle, a store that was made of one,
// or an inventory alone.
package since

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/base"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// What of an earlier release is left out of a bundle.
const (
	// Content is what the files of its layers have, Layers its layers only.
	Content = "content"
	Layers  = "layers"
)

var (
	// ErrNotThere is wrapped if there is no earlier bundle at the path.
	ErrNotThere = errors.New("there is no earlier bundle")
	// ErrNoContent is wrapped if Content is wanted and the earlier release gives no contents.
	ErrNoContent = errors.New("contents are missing")
)

// Earlier is an opened earlier release.
type Earlier struct {
	*mirror.Since
	// Note says why new layers are not told by its contents, "" if they are or were not to be.
	Note  string
	place *base.Place
}

// Open opens the earlier release at path. What is wanted of it is Content, Layers, or "": what it
// can give. by says whose signature it must have, but for a store in a directory. Errors are those of mirror.ReadSince and base.Open, or wrap ErrNotThere or
// ErrNoContent. The caller closes it.
func Open(ctx context.Context, path, want string, by trust.Bundle) (*Earlier, error) {
	info, err := os.Stat(path)
	store := err == nil && info.IsDir()
	var s *mirror.Since
	if store {
		s, err = ofStore(ctx, path, by)
	} else {
		if form.IsInventoryOfStore(path) {
			by = trust.Bundle{Insecure: true} // as the store is
		}
		s, err = mirror.ReadSince(ctx, path, by)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrNotThere, err)
	}
	if err != nil {
		return nil, err
	}
	e := &Earlier{Since: s}
	switch {
	case want == Layers:
		return e, nil
	case s.Alone:
		e.Note = "it is an inventory alone: layers that have changed are held whole"
	case s.Inventory.Layers != bundle.Expanded:
		e.Note = "it holds original layers: those that have changed are held whole"
	}
	if e.Note == "" {
		if e.place, err = base.Open(ctx, strings.TrimSuffix(path, split.Suffix)); err != nil {
			return nil, err
		}
		s.Old, s.Path = e.place, path
		switch has, all := e.files(ctx); has {
		case all:
		case 0:
			s.Old = nil
			e.Note = "the files of its layers are not there (an image has to be mounted): layers that have changed are held whole"
		default:
			e.Note = fmt.Sprintf("it has the files of %d of %d layers (a slot of that release has all): what resembles others is held whole", has, all)
		}
	}
	if want == Content && s.Old == nil {
		e.Close()
		return nil, fmt.Errorf("%w: %s", ErrNoContent, e.Note)
	}
	return e, nil
}

// files counts the layers whose files the place gives, of those that may be told by files.
func (e *Earlier) files(ctx context.Context) (has, all int) {
	seen := make(map[digest.Digest]bool)
	for i := range e.Inventory.Images {
		for _, l := range e.Inventory.Images[i].Layers {
			if e.Inventory.Images[i].Artifact || l.Original || seen[l.DiffID] {
				continue
			}
			seen[l.DiffID] = true
			all++
			if e.place.HasOld(ctx, l.DiffID) {
				has++
			}
		}
	}
	return has, all
}

// ofStore reads the inventory of the bundle that a store was made of.
func ofStore(ctx context.Context, path string, by trust.Bundle) (*mirror.Since, error) {
	c, err := install.ReadContents(ctx, path, by)
	if err != nil {
		return nil, err
	}
	if c.Stored == nil {
		return nil, fmt.Errorf("%w: %s is an empty store", ErrNotThere, path)
	}
	inv := c.Stored.Inventory()
	raw, err := inv.WholeBytes(c.Stored.RawInventory())
	if err != nil {
		return nil, err
	}
	return &mirror.Since{Inventory: inv.Whole(), ID: digest.FromBytes(raw)}, nil
}

// Close closes the earlier release; a nil one has nothing to close.
func (e *Earlier) Close() {
	if e != nil && e.place != nil {
		_ = e.place.Close() // it was only read
	}
}

// Replaces reports whether writing the bundle output would replace old, also one in parts.
func Replaces(output, old string) bool {
	_, base, err := split.Find(old)
	if err != nil {
		return false // who reads it says so
	}
	a, aerr := filepath.Abs(base)
	b, berr := filepath.Abs(output)
	if aerr == nil && berr == nil && a == b {
		return true
	}
	one, err := os.Stat(old)
	if err != nil {
		return false
	}
	other, err := os.Stat(output)
	return err == nil && os.SameFile(one, other)
}
