package carry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/atomicfile"
)

// preflight refuses a stick that is too small before anything is written.
func (f *filler) preflight(items []item) error {
	var st unix.Statfs_t
	if err := unix.Statfs(f.dir, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", f.dir, os.NewSyscallError("statfs", err))
	}
	block := int64(st.Bsize)
	need := block // SHA256SUMS and the list
	for _, it := range items {
		need += (it.size + block - 1) / block * block
		for _, name := range []string{it.name, it.name + atomicfile.Suffix} {
			if info, err := f.root.Lstat(name); err == nil {
				if st, ok := info.Sys().(*syscall.Stat_t); ok {
					need -= st.Blocks * 512
				}
			}
		}
	}
	if free := int64(st.Bavail) * block; need > free {
		return fmt.Errorf("%w: %d bytes are needed, %d are free", ErrSpace, need, free)
	}
	return nil
}

// invalidate removes the sums while files change: a stick without them is not
// whole.
func (f *filler) invalidate() error {
	if err := f.root.Remove(SumsFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("filling the stick: %w", err)
	}
	return f.root.SyncDir(".")
}

// checkForeign refuses a directory with another bundle than those that base, which
// may be nil, leads to: a node could not know which one is meant, and nobody asked
// to remove it. It reports whether base itself is there.
func (f *filler) checkForeign(ctx context.Context, name string, base *bundle.Base) (bool, error) {
	names, err := Bundles(f.dir)
	if err != nil {
		return false, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == name })
	all, _ := lineage(ctx, f.dir, names) // one that cannot be read is foreign
	there := false
	for next := base.ID(); next != ""; {
		i := slices.IndexFunc(names, func(n string) bool { return all[n].id == next })
		if i < 0 {
			break
		}
		there, next = true, all[names[i]].base
		names = slices.Delete(names, i, i+1)
	}
	if len(names) > 0 {
		return false, fmt.Errorf("%s: %w: %s: remove it, or take an empty stick", f.dir, ErrForeign, names[0])
	}
	return there, nil
}

// surplus is what follows a bundle's name in the names of its files.
var surplus = regexp.MustCompile(`^(|\.[0-9]{3}|\.parts\.json|\.sig)$`)

// removeSurplus removes files of this bundle from an earlier time: parts that it
// has no more, or the whole file where it is in parts now; and a program's signature
// that this run did not write.
func (f *filler) removeSurplus(name string) error {
	entries, err := f.root.ReadDir(".", maxEntries)
	if err != nil {
		return fmt.Errorf("filling the stick: %w", err)
	}
	for _, e := range entries {
		base := strings.TrimSuffix(e.Name(), atomicfile.Suffix)
		rest, ours := strings.CutPrefix(base, name)
		ours = ours && surplus.MatchString(rest) || base == ProgramSignature
		if _, wanted := f.sums[e.Name()]; wanted || !ours || e.IsDir() {
			continue
		}
		if err := f.root.Remove(e.Name()); err != nil {
			return fmt.Errorf("filling the stick: %w", err)
		}
	}
	return nil
}
