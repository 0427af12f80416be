package slot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/opencontainers/go-digest"
)

// OtherBundleError reports a bundle that is not the one a store was made of.
// It wraps store.ErrPrecondition.
type OtherBundleError struct {
	Path string
	// Want and Got are digests of inventories.
	Want, Got digest.Digest
}

// Error implements error.
func (e *OtherBundleError) Error() string {
	return fmt.Sprintf("%s was made of another bundle: its inventory is %s, the bundle's %s", e.Path, e.Want, e.Got)
}

// Unwrap returns store.ErrPrecondition.
func (e *OtherBundleError) Unwrap() error { return store.ErrPrecondition }

// Repair makes the store of slot n anew beside it and exchanges the two: layers
// that verify are taken from the damaged store, where it is a directory, and from the
// other slot, the rest comes from src, the bundle that the slot was filled from. Containers that
// run from whole layers go on. It may be called again after it was interrupted
// or killed. A slot of another bundle gives an *OtherBundleError; where the slot
// itself cannot tell any more, the time file does.
func (r *Root) Repair(ctx context.Context, src store.Source, n Name, opts FillOptions) (*Filled, error) {
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, bad := r.sweep(ctx); bad[n] != nil {
		return nil, bad[n]
	}
	state, err := r.readState()
	if err != nil {
		return nil, err
	}
	if err := r.madeOf(n, state, src); err != nil {
		return nil, err
	}
	opts.Now, opts.boot = state[n].Filled, state[n].Boot
	opts.Image = r.hasImage(n)
	opts.reuse(r.Path(n.Other()))
	if !opts.Image { // of one that is damaged nothing is proven
		opts.reuse(r.Path(n))
	}
	return r.fill(ctx, src, n, opts)
}

// Find returns the root and the slot that path is, false where it is none.
func Find(path string, opts Options) (*Root, Name, bool) {
	r, err := Open(filepath.Dir(filepath.Clean(path)), opts)
	if err != nil {
		return nil, "", false
	}
	n, err := ParseName(filepath.Base(filepath.Clean(path)))
	if err != nil {
		return nil, "", false
	}
	_, err = os.Stat(r.work())
	return r, n, err == nil
}

// MadeOf returns an *OtherBundleError if slot n was made of another bundle than src, as
// Repair does.
func (r *Root) MadeOf(n Name, src store.Source) error {
	state, err := r.readState()
	if err != nil {
		return err
	}
	return r.madeOf(n, state, src)
}

func (r *Root) madeOf(n Name, state map[Name]Times, src store.Source) error {
	want := state[n].ID
	if s, err := r.Read(n); err == nil && s.ID != "" && want == "" {
		want = s.ID
	}
	return sameBundle(r.Path(n), want, src)
}

// StoreMadeOf is MadeOf for a single store.
func StoreMadeOf(path string, src store.Source) error {
	stored, err := store.OpenStored(store.Files(path))
	if err != nil {
		return nil // it cannot say it
	}
	return sameBundle(path, digest.FromBytes(stored.RawInventory()), src)
}

// sameBundle compares src with the inventory that a store was made of, "" if that is not known.
func sameBundle(path string, want digest.Digest, src store.Source) error {
	if got := digest.FromBytes(src.RawInventory()); want != "" && want != got {
		return &OtherBundleError{Path: path, Want: want, Got: got}
	}
	return nil
}
