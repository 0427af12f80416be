package slot

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// liveMount is an overlay that is mounted in some mount namespace.
type liveMount struct {
	point string
	lower []string
	// upperLayer is the ID of the writable layer on top, or the whole upper
	// directory where it is no layer's, or the lower ones where there is none.
	upperLayer string
	// store is the graph root that the writable layer lies in, "" if that is not known.
	store string
}

// from reports whether the overlay lies on layers below the directory dir.
// Lower directories that were named by descriptor or relative to a graph root
// cannot be told; chain says whether the records would have it so.
func (m *liveMount) from(dir string, chain bool) bool {
	for _, l := range m.lower {
		switch {
		case strings.HasPrefix(l, dir+"/"):
			return true
		case chain && (!filepath.IsAbs(l) || strings.HasPrefix(l, "/proc/")):
			return true
		}
	}
	return false
}

// liveMounts finds the overlays of all mount namespaces: a node may keep the
// mounts of its containers in one of their own.
func liveMounts(proc string) ([]liveMount, error) {
	if proc == "" {
		return nil, nil
	}
	processes, err := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	if err != nil {
		return nil, fmt.Errorf("looking for processes: %w", err)
	}
	namespaces := make(map[string]bool)
	seen := make(map[string]bool)
	var found []liveMount
	for _, process := range processes {
		ns, err := os.Readlink(filepath.Join(process, "ns", "mnt"))
		if hidden(err) || namespaces[ns] {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking for mounts: %w", err)
		}
		mounts, err := readMounts(filepath.Join(process, "mountinfo"))
		if hidden(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		namespaces[ns] = true
		for _, m := range mounts {
			if key := m.upperLayer + "\n" + strings.Join(m.lower, ":"); !seen[key] {
				seen[key] = true
				found = append(found, m)
			}
		}
	}
	return found, nil
}

// hidden reports that a process is gone, or is one that even root may not look
// at: where this runs in a container itself, those outside of it.
func hidden(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) ||
		errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL)
}

// readMounts reads the overlays of a mountinfo file (proc_pid_mountinfo(5)).
func readMounts(path string) ([]liveMount, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("looking for mounts: %w", err)
	}
	defer f.Close()
	var found []liveMount
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		where, what := strings.Fields(before), strings.Fields(after)
		if !ok || len(where) < 5 || len(what) < 3 || what[0] != "overlay" {
			continue
		}
		found = append(found, parseOverlay(unescape(where[4]), what[2]))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("looking for mounts: %w", err)
	}
	return found, nil
}

// parseOverlay reads an overlay's options.
func parseOverlay(point, options string) liveMount {
	m := liveMount{point: point}
	for o := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(unescape(o), "=")
		switch key {
		case "lowerdir":
			m.lower = append(m.lower, strings.Split(value, ":")...)
		case "lowerdir+", "datadir+":
			m.lower = append(m.lower, value)
		case "upperdir":
			layer := filepath.Dir(value)
			m.upperLayer = filepath.Base(layer)
			if driver := filepath.Dir(layer); filepath.IsAbs(value) && filepath.Base(driver) == "overlay" {
				m.store = filepath.Dir(driver)
			}
		}
	}
	if m.upperLayer == "" {
		m.upperLayer = strings.Join(m.lower, ":")
	}
	return m
}

// unescape undoes the kernel's octal escapes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
