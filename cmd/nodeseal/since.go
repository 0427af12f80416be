package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/since"
)

// deltaMemory replaces bundleMemory if files of an earlier release are compared.
const deltaMemory = 900 << 20

// addSince puts what --since names into the engine's options. The caller closes it.
func (o *bundleOptions) addSince(ctx context.Context, opts *mirror.Options) (*since.Earlier, error) {
	switch {
	case o.delta != "" && o.delta != since.Content && o.delta != since.Layers:
		return nil, usageError{fmt.Errorf("--delta %q: want %s or %s", o.delta, since.Content, since.Layers)}
	case o.since == "" && o.delta != "":
		return nil, usageError{errors.New("--delta: it needs --since")}
	case o.since == "":
		return nil, o.key.unused("bundle", "what is bundled; it comes with --since")
	case !asks(o.since):
		if err := o.key.unused("bundle", "a store"); err != nil {
			return nil, err
		}
	}
	if since.Replaces(o.output, o.since) {
		return nil, usageError{fmt.Errorf("--since %s: it would be replaced: name another output", o.since)}
	}
	e, err := since.Open(ctx, o.since, o.delta, o.key.Bundle)
	if errors.Is(err, since.ErrNotThere) || errors.Is(err, since.ErrNoContent) {
		return nil, usageError{fmt.Errorf("--since %s: %w", o.since, err)}
	}
	if err != nil {
		return nil, fmt.Errorf("--since %s: %w", o.since, err)
	}
	if !o.layersGiven {
		opts.Layers = e.Inventory.Layers
	}
	opts.Since = e.Since
	if e.Old != nil && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(deltaMemory)
	}
	if opts.Layers != e.Inventory.Layers {
		e.Close()
		return nil, usageError{fmt.Errorf("--since %s: %w: leave --layers out", o.since, &mirror.FormError{Since: e.Inventory.Layers, Wanted: opts.Layers})}
	}
	if e.Note != "" {
		opts.Progress.Say(fmt.Sprintf("--since %s: %s", o.since, e.Note))
	}
	return e, nil
}
