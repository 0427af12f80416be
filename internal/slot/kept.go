package slot

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

// keptPrefix begins the names of old stores that containers still read.
const keptPrefix = "kept-"

// listSuffix ends the name of the list of mounts beside such a store.
const listSuffix = ".json"

// keep moves the store at swap(n) to where it waits until the overlays that lie
// on it are gone. They do not mind: an overlay holds its directories, whatever
// their names are; only what is removed is gone for them.
func (r *Root) keep(s *Slot, mounts []string) error {
	path := filepath.Join(r.work(), keptPrefix+string(s.Name)+"-"+s.ID.Encoded()[:12])
	data, err := json.Marshal(mounts)
	if err != nil {
		return fmt.Errorf("keeping the old store: %w", err)
	}
	if err := atomicfile.WriteBytes(path+listSuffix, 0o600, data); err != nil {
		return fmt.Errorf("keeping the old store: %w", err)
	}
	if err := os.Rename(r.swap(s.Name), path); err != nil {
		return fmt.Errorf("keeping the old store: %w", err)
	}
	return atomicfile.SyncDir(r.work())
}

// maxKept bounds the list of the mounts that an old store is kept for, in bytes.
const maxKept = 16 << 20

// sweepKept removes the old stores of slot n that nothing reads any more.
func (r *Root) sweepKept(ctx context.Context, n Name) (removed []string, err error) {
	paths, err := r.unread(n)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		if err := discard(ctx, path); err != nil {
			return removed, err
		}
		if err := os.Remove(path + listSuffix); err != nil {
			return removed, fmt.Errorf("looking at old stores: %w", err)
		}
		removed = append(removed, path)
	}
	return removed, nil
}

// unread are the old stores of slot n that nothing reads any more.
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
		data, err := safefile.ReadFile(list, maxKept)
		if err != nil {
			return paths, fmt.Errorf("looking at old stores: %w", err)
		}
		var mounts []string
		if json.Unmarshal(data, &mounts) == nil &&
			slices.ContainsFunc(live, func(m liveMount) bool { return slices.Contains(mounts, m.upperLayer) }) {
			continue
		}
		paths = append(paths, strings.TrimSuffix(list, listSuffix))
	}
	return paths, nil
}
