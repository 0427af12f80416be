package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/mirror"
)

// addSince puts what --since names into the engine's options.
func (o *bundleOptions) addSince(ctx context.Context, opts *mirror.Options) error {
	if o.since == "" {
		return nil
	}
	if replaces(o.output, o.since) {
		return usageError{fmt.Errorf("--since %s: it would be replaced: name another output", o.since)}
	}
	since, err := mirror.ReadSince(ctx, o.since)
	if errors.Is(err, fs.ErrNotExist) {
		return usageError{fmt.Errorf("--since: %w", err)}
	}
	if err != nil {
		return fmt.Errorf("--since %s: %w", o.since, err)
	}
	if !o.layersGiven {
		opts.Layers = since.Inventory.Layers
	}
	if opts.Layers != since.Inventory.Layers {
		return usageError{fmt.Errorf("--since %s: %w: leave --layers out", o.since, &mirror.FormError{Since: since.Inventory.Layers, Wanted: opts.Layers})}
	}
	opts.Since = since
	return nil
}

// replaces reports whether writing the bundle output would replace old, also one
// in parts.
func replaces(output, old string) bool {
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
