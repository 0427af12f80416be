package carry

import (
	"path/filepath"

	"github.com/moby/sys/mountinfo"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

// labels is where udev names the file systems of a machine by their labels.
const labels = "/dev/disk/by-label"

// lookAt warns of a directory from which no node imports by itself: nothing is mounted
// there, or a file system with another label. If that cannot be known, it is silent.
func (f *filler) lookAt(labels string) {
	path, err := filepath.EvalSymlinks(f.dir)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return // who writes there says why
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != path, false })
	if err != nil {
		return
	}
	if len(mounts) == 0 {
		f.progress.Warn(f.dir + " is no mount point: its files are on this machine's own disk, not on a stick")
		return
	}
	known, err := filepath.Glob(filepath.Join(labels, "*"))
	if err != nil || len(known) == 0 {
		return // no udev: labels are not known here
	}
	at := mounts[len(mounts)-1].Source // the last is on top
	device, err := filepath.EvalSymlinks(at)
	if err != nil {
		device = at
	}
	named, err := filepath.EvalSymlinks(filepath.Join(labels, machine.StickLabel))
	if err != nil || named != device {
		f.progress.Warn("the file system at " + f.dir + " (" + at + ") has not the label " + machine.StickLabel +
			": no node imports from it by itself; fatlabel, exfatlabel, e2label or xfs_admin -L gives it the label")
	}
}
