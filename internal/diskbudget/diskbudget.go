// Package diskbudget adds up what a node's disk has to hold around an upgrade: before a
// stick is written, and on the node.
package diskbudget

import (
	"errors"
	"fmt"
)

// What others want of the disk.
const (
	// Threshold is where kubelet begins to remove images, in percent of the file system
	// (imageGCHighThresholdPercent).
	Threshold = 85
	// PrefetchFree is what the machine-config daemon wants to stay free, in bytes, before it
	// fetches the images of a PinnedImageSet.
	PrefetchFree = 16 << 30
)

// ErrTooSmall is wrapped where a disk cannot hold what it has to.
var ErrTooSmall = errors.New("the node's disk is too small")

// Item is a part of what the disk has to hold.
type Item struct {
	What  string `json:"what"`
	Bytes int64  `json:"bytes"`
}

// Budget is what a disk has to hold. All sizes are in bytes.
type Budget struct {
	// Disk is the size of the file system.
	Disk  int64  `json:"disk"`
	Items []Item `json:"items"`
	// Needed is the sum of the items.
	Needed int64 `json:"needed"`
	// Limit is what may be in use: below kubelet's threshold, and with what must stay free.
	Limit int64 `json:"limit"`
	// MustStayFree is PrefetchFree.
	MustStayFree int64 `json:"mustStayFree"`
	// Left is Limit without Needed: for everything else. It is negative where the disk is
	// too small.
	Left int64 `json:"left"`
}

// Of makes the budget of a disk. Items without bytes are left out.
func Of(disk int64, items ...Item) *Budget {
	b := &Budget{Disk: disk, Items: []Item{}, MustStayFree: PrefetchFree}
	for _, i := range items {
		if i.Bytes > 0 {
			b.Items = append(b.Items, i)
			b.Needed += i.Bytes
		}
	}
	b.Limit = max(0, min(disk/100*Threshold, disk-PrefetchFree))
	b.Left = b.Limit - b.Needed
	return b
}

// Check returns an error that wraps ErrTooSmall where Left is negative.
func (b *Budget) Check() error {
	if b == nil || b.Left >= 0 {
		return nil
	}
	return fmt.Errorf("%w: %d MiB are needed, %d of its %d MiB may be in use (kubelet's %d%%, and %d MiB that stay free for prefetching)",
		ErrTooSmall, b.Needed>>20, b.Limit>>20, b.Disk>>20, Threshold, b.MustStayFree>>20)
}

// Lines calls line for each part, with sizes as show writes them.
func (b *Budget) Lines(line func(format string, args ...any), show func(int64) string) {
	if b == nil {
		return
	}
	line("the node's disk, %s:", show(b.Disk))
	for _, i := range b.Items {
		line("  %10s  %s", show(i.Bytes), i.What)
	}
	line("  %10s  may be in use: below kubelet's %d%%, and %s free for prefetching", show(b.Limit), Threshold, show(b.MustStayFree))
	if b.Left < 0 {
		line("  %10s  TOO LITTLE", show(-b.Left))
	} else {
		line("  %10s  left for everything else", show(b.Left))
	}
}
