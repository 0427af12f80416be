package nodestatus

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/diskbudget"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
)

// sameDisk reports whether two directories lie on one file system.
func sameDisk(a, b string) bool {
	var sa, sb unix.Stat_t
	return unix.Stat(a, &sa) == nil && unix.Stat(b, &sb) == nil && sa.Dev == sb.Dev
}

// originals counts the layers that a slot keeps as a registry has them, and what the slot
// takes. Layers that are missing or of another length are a problem: what reads them from
// nodeseal serve, as rpm-ostree, does not get them.
func (c *collector) originals(out *Slot, s *slot.Slot) {
	for _, l := range s.Store.Layers {
		out.Bytes += l.UncompressedSize
	}
	if s.Inventory == nil {
		return
	}
	mounted := out.Image == "" || out.Source != ""
	missing, example := 0, ""
	for _, o := range store.Originals(s.Inventory.Images) {
		info, err := os.Lstat(filepath.Join(out.Path, filepath.FromSlash(o.Path())))
		if mounted && (err != nil || info.Size() != o.Size) {
			missing, example = missing+1, o.Digest.String()
		}
		out.Originals++
		out.OriginalBytes += o.Size
	}
	out.Bytes += out.OriginalBytes
	if missing > 0 {
		c.problem(out.Path, "%d layers that it keeps as a registry has them are missing or cut short (%s): an upgrade's rpm-ostree finds them nowhere; nodeseal verify %s --repair BUNDLE brings them back",
			missing, example, out.Path)
	}
}

// system is what the operating system of a slot takes unpacked: the largest one of them.
func system(s *slot.Slot) (largest int64) {
	if s.Inventory == nil {
		return 0
	}
	for i := range s.Inventory.Images {
		var n int64
		if s.Inventory.Images[i].Role == bundle.RoleOS {
			for _, l := range s.Inventory.Images[i].Layers {
				n += l.DiffSize
			}
		}
		largest = max(largest, n)
	}
	return largest
}

// disk adds up what the file system has to hold when the next release comes, as large as the
// largest that is here. Where the slots have a disk of their own, neither kubelet nor the
// machine-config daemon looks at it.
func (c *collector) disk() {
	var st unix.Statfs_t
	if len(c.slots) == 0 || !sameDisk(c.opts.Root.Dir(), c.path(c.out.GraphRoot)) || unix.Statfs(c.opts.Root.Dir(), &st) != nil || st.Blocks == 0 {
		return
	}
	var largest, deployment int64
	free := false
	for i := range c.out.Slots {
		largest = max(largest, c.out.Slots[i].Bytes)
		free = free || c.out.Slots[i].Images == 0 && c.out.Slots[i].Artifacts == 0
	}
	for _, s := range c.slots {
		deployment = max(deployment, system(s))
	}
	if !free {
		largest = 0 // it takes the place of one that is there
	}
	c.out.Disk = diskbudget.Of(int64(st.Blocks)*int64(st.Bsize),
		diskbudget.Item{What: "in use now", Bytes: int64(st.Blocks-st.Bfree) * int64(st.Bsize)},
		diskbudget.Item{What: "the next release in the free slot, if it is as large", Bytes: largest},
		diskbudget.Item{What: "the next deployment of the operating system (ostree)", Bytes: deployment},
	)
	if err := c.out.Disk.Check(); err != nil {
		c.warn(c.opts.Root.Dir(), "%v", fmt.Errorf("around the next upgrade %w", err))
	}
}
