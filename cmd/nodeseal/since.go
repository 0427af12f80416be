package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
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
	since, err := readSince(ctx, o.since)
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

// readSince reads the inventory of a bundle, or one that lies there alone.
func readSince(ctx context.Context, path string) (*mirror.Since, error) {
	path = strings.TrimSuffix(path, split.Suffix)
	inv, raw, err := readInventory(path)
	if err != nil {
		return nil, err
	}
	if inv == nil {
		f, err := archive.OpenFile(ctx, path)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // read only
		inv, raw = f.Inventory(), f.RawInventory()
	}
	if raw, err = inv.WholeBytes(raw); err != nil {
		return nil, err
	}
	return &mirror.Since{Inventory: inv.Whole(), ID: digest.FromBytes(raw)}, nil
}

// readInventory reads a file that begins as JSON does; nil where there is none,
// or another one.
func readInventory(path string) (*bundle.Inventory, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, nil // it may be in parts
	}
	defer f.Close()
	r := bufio.NewReader(io.LimitReader(f, bundle.MaxInventory+1))
	if first, err := r.Peek(1); err != nil || first[0] != '{' {
		return nil, nil, nil // who reads it says so
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, nil, fmt.Errorf("reading inventory: %w", err)
	}
	inv, err := bundle.ParseInventory(strings.NewReader(string(raw)))
	return inv, raw, err
}
