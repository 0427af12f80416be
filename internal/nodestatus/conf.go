package nodestatus

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/storageconf"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/check"
)

// configured checks every store that storage.conf names, and returns those that
// are valid: a reader that meets another one does not start.
func (c *collector) configured(ctx context.Context) (valid []string, err error) {
	empty := len(c.slots) == 0
	for _, path := range c.opts.Node.Stores {
		for _, root := range c.opts.Node.GraphRoots {
			if within(path, root) {
				c.problem(path, "it lies under the graph root %s, which CRI-O may remove whole", root)
			}
		}
		found, err := validStore(path)
		if err != nil {
			if !c.told(path) {
				c.problem(path, "storage.conf names it, and it is no valid store: %v: CRI-O and podman do not start", err)
			}
			continue
		}
		valid = append(valid, path)
		if c.slotless() {
			if err := c.other(ctx, path, found); err != nil {
				return nil, err
			}
		}
		empty = empty && found.Empty()
	}
	if empty && len(valid) > 0 {
		c.problem(c.out.StorageConf, "it names empty stores only, so a reboot finds no image; nodeseal import BUNDLE fills a slot")
	}
	return valid, nil
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
func (c *collector) visible(ctx context.Context, valid []string) error {
	stores := slices.Clone(c.others)
	for _, s := range c.slots {
		stores = append(stores, s.Store)
	}
	refs := make(map[string]store.Reference)
	for _, s := range stores {
		for _, r := range s.References {
			if _, ok := refs[r.Name]; !ok {
				refs[r.Name] = r
			}
		}
	}
	var want []store.Reference
	for _, s := range stores {
		for _, r := range s.References {
			if refs[r.Name] == r {
				want = append(want, r)
				delete(refs, r.Name)
			}
		}
	}
	c.out.References, c.out.Visible = len(want), len(want)
	var asked [][]string
	for i := range c.opts.Views {
		v := &c.opts.Views[i]
		stores := c.stores(v)
		if slices.ContainsFunc(asked, func(a []string) bool { return slices.Equal(a, stores) }) {
			continue
		}
		asked = append(asked, stores)
		seen, err := c.seen(ctx, v, valid, want)
		if err != nil {
			return err
		}
		c.out.Visible = min(c.out.Visible, seen)
	}
	if len(c.others) > 0 && c.out.Visible < c.out.References && len(c.out.Problems) == 0 {
		c.problem(c.out.StorageConf, "only %d of %d references are found", c.out.Visible, c.out.References)
	}
	return nil
}

// seen asks the library what the programs of a view see, and returns how many of want.
func (c *collector) seen(ctx context.Context, v *storageconf.View, valid []string, want []store.Reference) (int, error) {
	stores := slices.DeleteFunc(c.stores(v), func(s string) bool { return !slices.Contains(valid, s) })
	if len(stores) == 0 || v.Err != nil {
		return 0, nil // nothing is seen, and a problem says why
	}
	unseen, err := check.Visible(ctx, stores, c.opts.Scratch, want)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		c.problem(v.Main(), "the stores cannot be opened together: %v", err)
		return 0, nil
	}
	for _, u := range unseen {
		c.out.Unseen = append(c.out.Unseen, Problem{What: u.Name, Message: u.Err.Error()})
	}
	if len(unseen) > 0 {
		c.problem(v.Main(), "%s %d of %d references", say(v, "does not see", "do not see"), len(unseen), len(want))
	}
	return len(want) - len(unseen), nil
}

// wanted finds what the given list has and no slot holds.
func (c *collector) wanted() {
	if c.opts.Wanted == nil {
		return
	}
	for _, e := range c.opts.Wanted.Entries() {
		for _, ref := range append([]string{e.Ref}, e.Names...) {
			if !slices.ContainsFunc(c.slots, func(s *slot.Slot) bool { return s.Inventory != nil && s.Inventory.Holds(ref) }) &&
				!slices.ContainsFunc(c.others, func(s *store.Store) bool { return has(s, ref) }) {
				c.out.Missing = append(c.out.Missing, ref)
			}
		}
	}
}

// within reports whether name is dir or lies below it.
func within(name, dir string) bool {
	name, dir = filepath.Clean(name), filepath.Clean(dir)
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}
