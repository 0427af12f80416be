// Package seal protects an additional image store in a directory from change,
// in two parts that complete each other.
//
// The immutable flag is set on what describes the store: overlay-images and
// overlay-layers with all below them, overlay, overlay/l, the directory of each
// layer with its link, lower and lower-layers, and nodeseal with all below it.
// It is never set on a layer's diff or below, because overlayfs takes the flag
// over into containers, which then could not change the files of their image;
// never on symbolic links, which have no flags; never on the store's top
// directory, which must remain renameable.
//
// A read-only bind mount of the store over itself protects the rest, the
// contents of the layers.
//
// With both, root cannot change, remove, rename or replace anything below the
// store's directory by accident: not with rm -rf, podman rmi, chown -R or a
// script. With the flags alone (NoMount, or after a restart until the mount
// unit ran) the metadata are protected, files below diff are not. It is no
// protection from root who wants to: who may seal may unseal, write to the
// block device, or mount the file system a second time elsewhere. Nor does it
// hide a damaged disk; verify does.
package seal

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/nodeseal/nodeseal/internal/filelock"
)

// Options are the choices of Seal. The zero value seals wholly.
type Options struct {
	// NoMount leaves out the read-only mount. One that is there stays.
	NoMount bool
	// Label is the SELinux label that every file to be sealed and every diff
	// directory must have, as "system_u:object_r:container_ro_file_t:s0": it
	// cannot be changed any more afterwards. Empty means any label, and none.
	Label string
}

// Report says how a store stands after the call that returned it.
type Report struct {
	// Dir is the store's directory, absolute and without symbolic links.
	Dir string `json:"dir"`
	// FSType is the type of its file system, as the kernel names it.
	FSType string `json:"fsType"`
	// Targets counts the files and directories that the seal covers.
	Targets int `json:"targets"`
	// Immutable counts those of them that have the flag.
	Immutable int `json:"immutable"`
	// Changed counts the flags that this call set or cleared.
	Changed int `json:"changed"`
	// Mounted says that the store is mounted read-only over itself.
	Mounted bool `json:"mounted"`
	// ImmutableDiffs counts layers whose diff directory has the flag, which
	// this package never sets: containers from them cannot write.
	ImmutableDiffs int `json:"immutableDiffs"`
	// Notes are sentences for people about what does not hold.
	Notes []string `json:"notes,omitempty"`
}

// Sealed reports whether both parts of the seal are whole.
func (r Report) Sealed() bool { return r.FlagsSet() && r.Mounted }

// FlagsSet reports whether everything that the seal covers is immutable.
func (r Report) FlagsSet() bool { return r.Targets > 0 && r.Immutable == r.Targets }

// Seal seals the store in dir. It may be called again at any time: what is
// sealed is left alone, what is missing is added. When ctx ends or an error
// stops it halfway, the store is still valid and the next call goes on. On
// return without error the flags are on disk.
//
// A directory that is no store gives ErrNotAStore, a lock file that readers
// could not do without ErrLockFile, files with another label a *LabelError;
// then nothing was changed. A *UnsupportedError says that the file system keeps
// no such flag, a *PrivilegeError that the process may not set it, filelock.ErrBusy that
// another seal or unseal works on the store.
func Seal(ctx context.Context, dir string, opts Options) (Report, error) {
	s, err := open(dir)
	if err != nil {
		return Report{}, fmt.Errorf("sealing %s: %w", dir, err)
	}
	defer s.close()
	report, err := s.seal(ctx, opts)
	if err != nil {
		return report, fmt.Errorf("sealing %s: %w", s.dir, err)
	}
	return report, nil
}

func (s *store) seal(ctx context.Context, opts Options) (Report, error) {
	if err := s.lock(); err != nil {
		return Report{}, err
	}
	if err := s.check(); err != nil {
		return Report{}, err
	}
	found, err := s.survey(ctx, opts.Label)
	if err != nil {
		return Report{}, err
	}
	at, err := mountsAt(s.dir)
	if err != nil {
		return Report{}, err
	}
	if len(found.wrongLabel) > 0 {
		return found.report(s.dir, at), &LabelError{Want: opts.Label, Names: found.wrongLabel}
	}
	changed := 0
	if found.immutable < len(found.targets) {
		// Flags cannot be set through a read-only mount.
		if err := at.unmount(); err != nil {
			return Report{}, err
		}
		changed, err = s.setFlags(ctx, found)
	}
	if wasMounted := len(at.self) > 0; wasMounted || err == nil && !opts.NoMount {
		err = errors.Join(err, mountReadOnly(s.dir))
	}
	report, stateErr := s.state(ctx)
	report.Changed = changed
	return report, errors.Join(err, stateErr)
}

// Unseal takes the mount away and clears the flags, so that the store can be
// removed or changed. It may be called again, also after it was interrupted,
// and on a store that is damaged or not sealed. Other flags stay. Containers
// that run from the store go on. The errors are those of Seal.
func Unseal(ctx context.Context, dir string) (Report, error) {
	s, err := open(dir)
	if err != nil {
		return Report{}, fmt.Errorf("unsealing %s: %w", dir, err)
	}
	defer s.close()
	report, err := s.unseal(ctx)
	if err != nil {
		return report, fmt.Errorf("unsealing %s: %w", s.dir, err)
	}
	return report, nil
}

func (s *store) unseal(ctx context.Context) (Report, error) {
	if err := s.lock(); err != nil {
		return Report{}, err
	}
	at, err := mountsAt(s.dir)
	if err != nil {
		return Report{}, err
	}
	if err := at.unmount(); err != nil {
		return Report{}, err
	}
	found, err := s.survey(ctx, "")
	if err != nil {
		return Report{}, err
	}
	changed, err := s.clearFlags(ctx, found)
	report, stateErr := s.state(ctx)
	report.Changed = changed
	return report, errors.Join(err, stateErr)
}

// State reports how the store in dir stands and changes nothing. It needs no
// privilege beyond reading. It does not wait for a Seal at work and may see it
// halfway. The errors are those of Seal.
func State(ctx context.Context, dir string) (Report, error) {
	s, err := open(dir)
	if err != nil {
		return Report{}, fmt.Errorf("looking at the seal of %s: %w", dir, err)
	}
	defer s.close()
	report, err := s.state(ctx)
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return report, fmt.Errorf("looking at the seal of %s: %w", s.dir, err)
	}
	return report, nil
}

func (s *store) state(ctx context.Context) (Report, error) {
	found, err := s.survey(ctx, "")
	if err != nil {
		return Report{}, err
	}
	at, err := mountsAt(s.dir)
	if err != nil {
		return Report{}, err
	}
	return found.report(s.dir, at), nil
}

// noteMounted is what people should know of a mount.
const noteMounted = "the read-only mount lasts until the machine restarts; a mount unit or nodeseal seal brings it back"

// report puts together what was found, and what it means.
func (f *survey) report(dir string, at *mounts) Report {
	r := Report{
		Dir: dir, FSType: at.fsType(), Targets: len(f.targets), Immutable: f.immutable,
		Mounted: at.readOnly(), ImmutableDiffs: f.immutableDiffs,
	}
	note := func(format string, args ...any) { r.Notes = append(r.Notes, fmt.Sprintf(format, args...)) }
	if r.Immutable > 0 && !r.FlagsSet() {
		note("the seal is not whole: %d of %d files have the immutable flag; seal or unseal again", r.Immutable, r.Targets)
	}
	if r.FlagsSet() && !r.Mounted {
		note("files inside of layers are not protected: the store is not mounted read-only")
	}
	if r.Mounted {
		note(noteMounted)
	}
	if r.ImmutableDiffs > 0 {
		note("%d layers have the immutable flag on their contents (chattr -R +i sets it): containers cannot change "+
			"files of their image; chattr -R -i on overlay/*/diff mends it", r.ImmutableDiffs)
	}
	if r.FSType == "tmpfs" {
		note("tmpfs lies in memory: the store and its seal are gone when the machine restarts")
	}
	return r
}

// store is an open directory with a store.
type store struct {
	dir string // absolute, without symbolic links
	f   *os.File
}

// close gives the lock back and closes the directory. The lock is given back by
// name: a process being started elsewhere may hold a copy of the descriptor for
// a moment. Errors are of no interest, it was opened for reading.
func (s *store) close() {
	_ = filelock.Release(s.f)
	_ = s.f.Close()
}

// lock keeps other seals and unseals off the store until close.
func (s *store) lock() error {
	if err := filelock.Take(s.f); err != nil {
		return fmt.Errorf("locking %s: %w", s.dir, err)
	}
	return nil
}
