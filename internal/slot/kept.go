package slot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/opencontainers/go-digest"
)

// keptPrefix begins the names of old stores that containers still read.
const keptPrefix = "kept-"

// listSuffix ends the name of the list of mounts beside such a store.
const listSuffix = ".json"

// keep moves the store at path, which was that of slot n, to where it waits until the
// overlays that lie on it are gone. They do not mind: an overlay holds its directories,
// whatever their names are; only what is removed is gone for them.
func (r *Root) keep(n Name, path string, mounts []string) error {
	fail := func(err error) error { return fmt.Errorf("keeping the old store: %w", err) }
	to := r.keptName(n, path)
	data, err := json.Marshal(mounts)
	if err != nil {
		return fail(err)
	}
	if err := atomicfile.WriteBytes(to+listSuffix, 0o600, data); err != nil {
		return fail(err)
	}
	if err := os.Rename(path, to); err != nil {
		return fail(err)
	}
	return atomicfile.SyncDir(r.work())
}

// keptName is the name that the store at path gets: of its inventory, and a number
// where the same store was kept before and is still read.
func (r *Root) keptName(n Name, path string) string {
	id := "unknown"
	if stored, err := store.OpenStored(store.Files(path)); err == nil {
		id = digest.FromBytes(stored.RawInventory()).Encoded()[:12]
	}
	name := filepath.Join(r.work(), keptPrefix+string(n)+"-"+id)
	for i, first := 2, name; there(name) || there(name+listSuffix); i++ {
		name = fmt.Sprintf("%s-%d", first, i)
	}
	return name
}

// drop removes the store that an exchange has taken out of at, or keeps it while
// containers run from it: they may be told by nothing but the name of the slot, under which they
// mounted it. So one that began after the exchange counts too, and the store stays for that long.
func (r *Root) drop(ctx context.Context, at places) error {
	if at.slot == "" || hollow(at.swap) {
		return discard(ctx, at.swap)
	}
	readers, err := readersOf(at.path)
	if err != nil {
		return err
	}
	if len(readers) > 0 {
		return r.keep(at.slot, at.swap, readers)
	}
	return discard(ctx, at.swap)
}

// readersOf are the overlays that were mounted from the store at path.
func readersOf(path string) (ids []string, err error) {
	live, err := liveMounts("/proc")
	if err != nil {
		return nil, err
	}
	for _, m := range live {
		if m.from(path, false) {
			ids = append(ids, m.upperLayer)
		}
	}
	return ids, nil
}

// maxKept bounds the list of the mounts that an old store is kept for, in bytes.
const maxKept = 16 << 20

// sweepKept removes the old stores of slot n that nothing reads any more.
func (r *Root) sweepKept(ctx context.Context, n Name) (removed []string, err error) {
	paths, damaged := r.unread(n)
	for _, path := range paths {
		if err := discard(ctx, path); err != nil {
			return removed, errors.Join(damaged, err)
		}
		if err := os.Remove(path + listSuffix); err != nil {
			return removed, errors.Join(damaged, fmt.Errorf("looking at old stores: %w", err))
		}
		removed = append(removed, path)
	}
	return removed, damaged
}

// KeptError reports that the List of the mounts that an old store of a slot is kept for is
// damaged. The store stays for as long as any container may run from the slot. It
// wraps store.ErrDamaged.
type KeptError struct {
	Slot Name
	List string
	Err  error
}

// Error implements error.
func (e *KeptError) Error() string {
	return fmt.Sprintf("slot %s: %s, the list of the containers that still read an old store: %v: %v", e.Slot, e.List, store.ErrDamaged, e.Err)
}

// Unwrap returns store.ErrDamaged and the cause.
func (e *KeptError) Unwrap() []error { return []error{store.ErrDamaged, e.Err} }

// unread are the old stores of slot n that nothing reads any more. The error is of *KeptErrors,
// or there are no paths.
func (r *Root) unread(n Name) (paths []string, err error) {
	lists, err := filepath.Glob(filepath.Join(r.work(), keptPrefix+string(n)+"-*"+listSuffix))
	if err != nil || len(lists) == 0 {
		return nil, err
	}
	live, err := liveMounts("/proc")
	if err != nil {
		return nil, err
	}
	for _, list := range lists {
		mounts, damage, rerr := readKept(list)
		if rerr != nil {
			return nil, fmt.Errorf("slot %s: reading the list of the containers that still read an old store: %w", n, rerr)
		}
		read := slices.ContainsFunc(live, func(m liveMount) bool {
			// The old store had the slot's name: without its list, all readers of the slot may be its own.
			return slices.Contains(mounts, m.upperLayer) || damage != nil && m.from(r.Path(n), false)
		})
		switch {
		case !read:
			paths = append(paths, strings.TrimSuffix(list, listSuffix))
		case damage != nil:
			err = errors.Join(err, &KeptError{Slot: n, List: list, Err: damage})
		}
	}
	return paths, err
}

// readKept reads the list of the mounts that an old store is kept for. Damage is of a list that says
// nothing, whoever reads it when; after err it may be read later.
func readKept(list string) (mounts []string, damage, err error) {
	data, err := safefile.ReadFile(list, maxKept)
	switch {
	case errors.Is(err, safefile.ErrNotRegular), errors.Is(err, safefile.ErrTooLarge), errors.Is(err, fs.ErrNotExist):
		return nil, err, nil
	case err != nil:
		return nil, nil, err
	}
	if err := jsonbound.Unmarshal(data, &mounts); err != nil {
		return nil, err, nil
	}
	if len(mounts) == 0 {
		return nil, errors.New("it names none"), nil
	}
	return mounts, nil, nil
}
