package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/slot"
)

// gcThreshold is kubelet's default imageGCHighThresholdPercent.
const gcThreshold = 85

// slotOptions say where the slots are.
type slotOptions struct {
	root      string
	sysroot   string
	threshold int
}

func (o *slotOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.root, "root", slot.DefaultRoot, "`DIR` with the slots a and b")
	flags.StringVar(&o.sysroot, "sysroot", "", "work on the disk of another machine that is mounted at `DIR`: --root is below it, and nothing is mounted")
}

func (o *slotOptions) addFillFlags(flags *pflag.FlagSet) {
	flags.IntVar(&o.threshold, "gc-threshold", gcThreshold,
		"`PERCENT` of the file system that may be in use afterwards, kubelet's imageGCHighThresholdPercent; 0 is no bound")
}

// complete completes the flags' values.
func (o *slotOptions) complete(cmd *cobra.Command) {
	must(cmd.MarkFlagDirname("root"))
	must(cmd.MarkFlagDirname("sysroot"))
}

// open returns the slots.
func (o *slotOptions) open(noMount bool) (*slot.Root, error) {
	if err := o.checkSysroot(); err != nil {
		return nil, err
	}
	r, err := slot.Open(o.path(o.root), slot.Options{NoMount: noMount || o.sysroot != ""})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// checkSysroot wants a disk at --sysroot, and makes the path absolute. A name that is not there, or a mount point
// without its disk, would put the slots on this machine's own disk.
func (o *slotOptions) checkSysroot() error {
	if o.sysroot == "" {
		return nil
	}
	// Paths of the disk's storage.conf are compared with those of the slots.
	abs, err := filepath.Abs(o.sysroot)
	if err != nil {
		return fmt.Errorf("--sysroot %s: %w", o.sysroot, err)
	}
	o.sysroot = abs
	entries, err := os.ReadDir(o.sysroot)
	if err != nil {
		return preconditionError{fmt.Errorf("--sysroot: %w", err)}
	}
	if len(entries) > 0 {
		return nil
	}
	var dir, above unix.Stat_t
	if err := errors.Join(unix.Stat(o.sysroot, &dir), unix.Stat(filepath.Join(o.sysroot, ".."), &above)); err != nil {
		return fmt.Errorf("--sysroot %s: %w", o.sysroot, err)
	}
	if dir.Dev == above.Dev {
		return preconditionError{fmt.Errorf("--sysroot %s: it is empty, and no disk is mounted there", o.sysroot)}
	}
	return nil
}

// path returns where a path of the node is on this machine.
func (o *slotOptions) path(p string) string {
	if o.sysroot == "" {
		return p
	}
	return filepath.Join(o.sysroot, p)
}

// stores are those of this node.
func (o *slotOptions) stores() ([]string, error) {
	root, err := slot.Open(o.path(o.root), slot.Options{})
	if err != nil {
		return nil, err
	}
	return []string{root.Path(slot.A), root.Path(slot.B)}, nil
}
