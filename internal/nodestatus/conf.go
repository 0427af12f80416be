package nodestatus

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/check"
	"golang.org/x/sys/unix"
)

// fullPercent is where kubelet begins to remove images.
const fullPercent = 85

// names reports whether storage.conf names the store.
func (c *collector) names(path string) bool {
	return slices.ContainsFunc(c.opts.Node.Stores, func(s string) bool { return filepath.Clean(s) == path })
}

// configured checks every store that storage.conf names, and returns those that
// are valid: a reader that meets another one does not start.
func (c *collector) configured() (valid []string) {
	empty := len(c.slots) == 0
	for _, path := range c.opts.Node.Stores {
		if within(path, c.opts.Node.GraphRoot) {
			c.problem(path, "it lies under the graph root %s, which CRI-O may remove whole", c.opts.Node.GraphRoot)
		}
		found, err := validStore(path)
		if err != nil {
			if !c.told(path) {
				c.problem(path, "storage.conf names it, and it is no valid store: %v: CRI-O and podman do not start", err)
			}
			continue
		}
		valid = append(valid, path)
		empty = empty && found.Empty()
	}
	if empty && len(valid) > 0 {
		c.problem(c.opts.ConfPath, "it names empty stores only, so a reboot finds no image; nodeseal import BUNDLE fills a slot")
	}
	return valid
}

// told reports whether a problem of the slot at path is known.
func (c *collector) told(path string) bool {
	for _, n := range slot.Names() {
		if filepath.Clean(path) == c.opts.Root.Path(n) {
			return slices.ContainsFunc(c.out.Problems, func(p Problem) bool { return p.What == c.opts.Root.Path(n) })
		}
	}
	return false
}

// validStore is what readers need of a configured store before they look at any
// image.
func validStore(path string) (*store.Store, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	if err := store.CheckLocks(store.Files(path)); err != nil {
		return nil, err
	}
	return store.Open(store.Files(path))
}

// visible asks the library which images CRI-O and podman see.
func (c *collector) visible(ctx context.Context, stores []string) error {
	refs := make(map[string]store.Reference)
	for _, s := range c.slots {
		for _, r := range s.Store.References {
			if _, ok := refs[r.Name]; !ok {
				refs[r.Name] = r
			}
		}
	}
	var want []store.Reference
	for _, s := range c.slots {
		for _, r := range s.Store.References {
			if refs[r.Name] == r {
				want = append(want, r)
				delete(refs, r.Name)
			}
		}
	}
	c.out.References = len(want)
	if len(stores) == 0 || c.opts.ConfErr != nil {
		return nil // nothing is seen, and a problem says why
	}
	unseen, err := check.Visible(ctx, stores, c.opts.Scratch, want)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		c.problem(c.opts.ConfPath, "the stores cannot be opened together: %v", err)
		return nil
	}
	c.out.Visible = len(want) - len(unseen)
	for _, u := range unseen {
		c.out.Unseen = append(c.out.Unseen, Problem{What: u.Name, Message: u.Err.Error()})
	}
	if len(unseen) > 0 {
		c.problem(c.opts.ConfPath, "CRI-O and podman do not see %d of %d references", len(unseen), len(want))
	}
	return nil
}

// wanted finds what the given list has and no slot holds.
func (c *collector) wanted() {
	if c.opts.Wanted == nil {
		return
	}
	for _, e := range c.opts.Wanted.Entries() {
		for _, ref := range append([]string{e.Ref}, e.Names...) {
			if !slices.ContainsFunc(c.slots, func(s *slot.Slot) bool { return s.Inventory != nil && s.Inventory.Holds(ref) }) {
				c.out.Missing = append(c.out.Missing, ref)
			}
		}
	}
}

// room compares the file system with kubelet's threshold.
func (c *collector) room() {
	var st unix.Statfs_t
	if err := unix.Statfs(c.opts.Root.Dir(), &st); err != nil || st.Blocks == 0 {
		return
	}
	if used := int((st.Blocks - st.Bfree) * 100 / st.Blocks); used >= fullPercent {
		c.warn(c.opts.Root.Dir(), "the file system is %d%% full: kubelet removes images from %d%% on", used, fullPercent)
	}
}

// within reports whether name is dir or lies below it.
func within(name, dir string) bool {
	name, dir = filepath.Clean(name), filepath.Clean(dir)
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}
