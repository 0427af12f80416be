package plan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrNoSpace is wrapped when a file system has less room than a plan needs.
var ErrNoSpace = errors.New("not enough space")

// Disk is a file system that a run writes to.
type Disk struct {
	// Path is a directory on it, For what it is needed for.
	Path string `json:"path"`
	For  string `json:"for"`
	Need int64  `json:"need"`
	Free int64  `json:"free"`
}

// Check returns an error that wraps ErrNoSpace where a disk here is too small, and
// diskbudget.ErrTooSmall where a node's is.
func (p *Plan) Check() error {
	var errs []error
	for _, d := range p.Disks {
		if d.Free < d.Need {
			errs = append(errs, fmt.Errorf("%w in %s: the %s may need %d MiB more, %d MiB are free",
				ErrNoSpace, d.Path, d.For, (d.Need+1<<20-1)>>20, d.Free>>20))
		}
	}
	return errors.Join(append(errs, p.Node.Disk.Check())...)
}

// needs are what the parts of a run write. While layers come there are frames
// and downloads; downloads are gone when the bundle is written, from the frames
// and beside them. Deltas are written before the bundle, with decoded frames of the earlier one
// beside them, and copied into it in place of layers: together with the bundle they take no more
// than the layers if they are at most half as long. Nothing else is ever copied.
type needs struct{ frames, partial, bundle, deltas int64 }

func disks(work, output string, n needs) ([]Disk, error) {
	out := filepath.Dir(output)
	freeWork, devWork, err := free(work)
	if err != nil {
		return nil, err
	}
	freeOut, devOut, err := free(out)
	if err != nil {
		return nil, err
	}
	if devWork == devOut {
		return []Disk{{Path: out, For: "work directory and the bundle", Need: n.frames + max(n.partial, n.bundle, n.deltas), Free: freeOut}}, nil
	}
	return []Disk{
		{Path: work, For: "work directory", Need: n.frames + max(n.partial, n.deltas), Free: freeWork},
		{Path: out, For: "bundle", Need: n.bundle, Free: freeOut},
	}, nil
}

// free returns the free bytes of the file system of path, which need not exist
// yet, and which file system it is.
func free(path string) (int64, uint64, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return 0, 0, fmt.Errorf("free space: %w", err)
	}
	for {
		var fs unix.Statfs_t
		var st unix.Stat_t
		err := unix.Statfs(path, &fs)
		if err == nil {
			err = unix.Stat(path, &st)
		}
		if err == nil {
			return int64(fs.Bavail) * int64(fs.Bsize), st.Dev, nil
		}
		parent := filepath.Dir(path)
		if !errors.Is(err, os.ErrNotExist) || parent == path {
			return 0, 0, fmt.Errorf("free space of %s: %w", path, err)
		}
		path = parent
	}
}
