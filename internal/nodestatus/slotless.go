package nodestatus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
)

// slotless reports whether the node has its images without slots, as one has whose operating
// system comes with them: no slot is there, and storage.conf names stores that are no slots.
func (c *collector) slotless() bool {
	for _, n := range slot.Names() {
		if c.opts.Root.Exists(n) {
			return false
		}
	}
	stores := c.opts.Node.Stores
	return len(stores) > 0 && !slices.ContainsFunc(stores, func(path string) bool { return path == "" || isSlot(path, c.opts.Root) })
}

// isSlot reports whether a path is a slot of root, or looks like one of another: both lie
// side by side.
func isSlot(path string, root *slot.Root) bool {
	path = filepath.Clean(path)
	for _, n := range slot.Names() {
		if path == root.Path(n) {
			return true
		}
	}
	if !slices.Contains(slot.Names(), slot.Name(filepath.Base(path))) {
		return false
	}
	for _, n := range slot.Names() {
		if _, err := os.Lstat(filepath.Join(filepath.Dir(path), string(n))); err != nil {
			return false
		}
	}
	return true
}

// other looks at a store of a node that has no slots.
func (c *collector) other(ctx context.Context, path string, s *store.Store) error {
	c.others = append(c.others, s)
	c.proven(ctx, path, s)
	if s.Empty() {
		return nil
	}
	for _, v := range c.blind(filepath.Clean(path)) {
		c.problem(path, "%s none of its %d images%s", say(v, "sees", "see"), len(s.Images), decides(v))
	}
	if err := store.CheckLayers(path, s); err != nil {
		c.problem(path, "%v: images do not start", err)
	}
	mounted, err := seal.ImageMounted(path)
	if err != nil {
		return fmt.Errorf("store %s: %w", path, err)
	}
	if mounted {
		if !c.opts.OtherDisk {
			c.mountedAtBoot(path)
		}
		return nil
	}
	report, err := seal.State(ctx, path)
	if errors.As(err, new(*seal.UnsupportedError)) {
		return nil // a file system that has no such flags
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", path, err)
	}
	if report.ImmutableDiffs > 0 {
		c.problem(path, "%d layers are immutable themselves: containers cannot start or write; chattr -R -i on overlay/*/diff mends it", report.ImmutableDiffs)
	}
	return nil
}

// mountedAtBoot says so if nothing mounts a store's image again at the next start.
func (c *collector) mountedAtBoot(path string) {
	name := unit.UnitNamePathEscape(path) + ".mount"
	there := false
	for _, dir := range []string{"/etc/systemd/system", "/usr/lib/systemd/system", "/usr/local/lib/systemd/system"} {
		dir = c.path(dir)
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			there = true
		}
		// A unit is enabled by a link below the one that wants it.
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			above := filepath.Ext(e.Name())
			if err != nil || above != ".wants" && above != ".requires" {
				continue
			}
			if _, err := os.Lstat(filepath.Join(dir, e.Name(), name)); err == nil {
				return
			}
		}
	}
	fstab, err := os.ReadFile(c.path("/etc/fstab"))
	for line := range strings.Lines(string(fstab)) {
		if words := strings.Fields(line); err == nil && len(words) > 1 && words[0][0] != '#' && filepath.Clean(words[1]) == filepath.Clean(path) {
			return
		}
	}
	if there {
		c.problem(path, "its mount unit is not enabled, so that it is gone after a restart: systemctl enable '%s'", name)
		return
	}
	c.warn(path, "neither an enabled unit %s nor /etc/fstab mounts it at the next start", name)
}

// has reports whether a store has what a reference names.
func has(s *store.Store, ref string) bool {
	named := func(r store.Reference) bool { return r.Name == ref }
	return slices.ContainsFunc(s.References, named) || slices.ContainsFunc(s.Artifacts, named)
}
