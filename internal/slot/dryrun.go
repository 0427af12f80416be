package slot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/nodeseal/nodeseal/internal/dryrun"
	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/seal"
)

// PlanClean says what Clean would remove, and changes nothing. Errors wrap filelock.ErrBusy
// if a command is at work.
func (r *Root) PlanClean() (*dryrun.Plan, error) {
	if err := r.idle(); err != nil {
		return nil, err
	}
	out := new(dryrun.Plan)
	for _, n := range Names() {
		if r.recalls(n) == takenOut {
			out.Add("put back", r.Path(n), 0)
		}
		paths, err := r.leftovers(n)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			out.Add("remove", path, dryrun.Size(path))
		}
		if r.mounts && there(r.unsettled(n)) && r.Exists(n) {
			out.Add("mount read-only", r.Path(n), 0)
		}
	}
	for _, path := range r.partials() {
		out.Add("remove", path, dryrun.Size(path))
	}
	return out, nil
}

// idle returns an error that wraps filelock.ErrBusy if another command works on the slots.
func (r *Root) idle() error {
	root, err := safefile.OpenRoot(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening the slots' directory: %w", err)
	}
	defer root.Close()
	f, err := root.OpenDir(filepath.Base(r.work()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening the work directory: %w: remove it", err)
	}
	defer f.Close()
	if err := filelock.Held(f); err != nil {
		return fmt.Errorf("locking %s: %w", r.work(), err)
	}
	return nil
}

// leftovers are what sweep, clearDir and clearImage remove of slot n.
func (r *Root) leftovers(n Name) (paths []string, err error) {
	if r.recalls(n) == notTaken {
		paths = append(paths, r.retiring(n))
	}
	paths = append(paths, r.strayDirs(n)...)
	paths = append(paths, r.strayImages(n)...)
	kept, err := r.unread(n) // a damaged list stays, which the command says then
	if bad := new(KeptError); err != nil && !errors.As(err, &bad) {
		return nil, err
	}
	paths = append(paths, kept...)
	prepared, err := preparedAt(r.prepared(n))
	for _, path := range prepared {
		if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths, err
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// PlanRetire says what Retire would do, and changes nothing. It refuses as Retire does.
func (r *Root) PlanRetire(n Name, node Node) (*dryrun.Plan, error) {
	if err := r.idle(); err != nil {
		return nil, err
	}
	out := new(dryrun.Plan)
	s, err := r.Read(n)
	if err != nil {
		return nil, err
	}
	if s.Free() {
		return out, nil
	}
	if _, err := r.refuse(s, node); err != nil {
		return nil, err
	}
	path := s.Path
	if s.Image != "" {
		path = s.Image
	}
	out.Add("empty", fmt.Sprintf("slot %s (%s), which holds %s", n, s.Path, s.Release()), dryrun.Size(path))
	return out, nil
}

// PlanMount says what Mount would do, and changes nothing.
func (r *Root) PlanMount(names ...Name) (*dryrun.Plan, error) {
	out := new(dryrun.Plan)
	for _, n := range Names() {
		if !r.Exists(n) {
			out.Add("make an empty store", r.Path(n), 0)
		}
	}
	for _, n := range names {
		up, err := r.isMounted(n)
		if err != nil {
			return nil, err
		}
		if !up {
			out.Add("mount read-only", r.Path(n), 0)
		}
	}
	return out, nil
}

// PlanUnmount says what Unmount would do, and changes nothing.
func (r *Root) PlanUnmount(names ...Name) (*dryrun.Plan, error) {
	out := new(dryrun.Plan)
	for _, n := range names {
		up, err := r.isMounted(n)
		if err != nil {
			return nil, err
		}
		if up {
			out.Add("unmount", r.Path(n), 0)
		}
	}
	return out, nil
}

// isMounted reports whether slot n is mounted read-only, in its form.
func (r *Root) isMounted(n Name) (bool, error) {
	if !r.Exists(n) {
		return false, nil
	}
	up, err := seal.ImageMounted(r.Path(n))
	if err != nil || up || r.hasImage(n) {
		return up, err
	}
	return seal.Mounted(r.Path(n))
}
