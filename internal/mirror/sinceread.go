package mirror

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// ReadSince reads the inventory of the bundle at path, whole or in parts, or one that
// lies there alone; by says whose signature it must have.
func ReadSince(ctx context.Context, path string, by trust.Bundle) (*Since, error) {
	path = strings.TrimSuffix(path, split.Suffix)
	inv, raw, err := readInventory(ctx, path, by)
	if err != nil {
		return nil, err
	}
	alone := inv != nil
	if !alone {
		f, err := by.Open(ctx, path)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // read only
		inv, raw = f.Inventory(), f.RawInventory()
	}
	if raw, err = inv.WholeBytes(raw); err != nil {
		return nil, err
	}
	return &Since{Inventory: inv.Whole(), ID: digest.FromBytes(raw), Alone: alone}, nil
}

// readInventory reads a file that begins as JSON does; nil where there is none,
// or another one.
func readInventory(ctx context.Context, path string, by trust.Bundle) (*bundle.Inventory, []byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe that nobody writes is not waited for
	if err != nil {
		return nil, nil, nil // it may be in parts
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, nil, nil // who reads it says so
	}
	r := bufio.NewReader(io.LimitReader(f, bundle.MaxInventory+1))
	if first, err := r.Peek(1); err != nil || first[0] != '{' {
		return nil, nil, nil // who reads it says so
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, nil, fmt.Errorf("reading inventory: %w", err)
	}
	if err := by.Check(ctx, path, raw); err != nil {
		return nil, nil, err
	}
	inv, err := bundle.ParseInventory(strings.NewReader(string(raw)))
	return inv, raw, err
}
