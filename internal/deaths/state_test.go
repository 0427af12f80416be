//go:build deaths

package deaths

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A machine has its slots in slots/, and a store that is no slot in one/store.
const (
	slotsDir = "slots"
	oneDir   = "one"
)

// state says what lies below a machine's disk, in words that are the same for each run: one line
// for each name, with the release that a store has, and whether something is mounted there.
func state(disk string) string {
	var lines []string
	for _, dir := range []string{slotsDir, slotsDir + "/.work", oneDir} {
		entries, err := os.ReadDir(filepath.Join(disk, dir))
		if err != nil {
			continue
		}
		for _, e := range entries {
			name := dir + "/" + e.Name()
			path := filepath.Join(disk, name)
			line := settled(name)
			if e.IsDir() {
				line += holds(path)
			}
			if !e.IsDir() && strings.HasSuffix(name, ".erofs") {
				line += flagged(path)
			}
			if mounted(path) {
				line += ", mounted"
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

var (
	numbers = regexp.MustCompile(`\.[0-9]+-[0-9]+\.partial$`)
	ids     = regexp.MustCompile(`-[0-9a-f]{12}`)
	version = regexp.MustCompile(`"version": *"4\.99\.([0-9])"`)
)

// settled is a name without what differs from run to run.
func settled(name string) string {
	return ids.ReplaceAllString(numbers.ReplaceAllString(name, ".PID-N.partial"), "-ID")
}

// holds says which release is in a store.
func holds(path string) string {
	if raw, err := os.ReadFile(filepath.Join(path, "nodeseal/inventory.json")); err == nil {
		if m := version.FindSubmatch(raw); m != nil {
			return ": release " + string(m[1])
		}
	}
	if raw, err := os.ReadFile(filepath.Join(path, "overlay-images/images.json")); err == nil && string(raw) == "[]" {
		return ": empty"
	}
	return ""
}

// mounted says whether something is mounted at path. A machine's list of all mounts is long, and
// is read for each change that a command makes.
func mounted(path string) bool {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &stat)
	return err == nil && stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// flagged says whether a file is immutable.
func flagged(path string) string {
	const immutable = 0x10 // FS_IMMUTABLE_FL
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS); err == nil && flags&immutable != 0 {
		return ", immutable"
	}
	return ""
}

// content is what slot n holds in a state: "" if it is not there.
func content(state, n string) string {
	for line := range strings.Lines(state) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), slotsDir+"/"+n+": "); ok {
			rest, _, _ = strings.Cut(rest, ",")
			return rest
		}
	}
	return ""
}

// documented are the names of the table in docs/crash.md: its cells in code quotes.
func documented() (map[string]bool, error) {
	raw, err := os.ReadFile("../../docs/crash.md")
	if err != nil {
		return nil, err
	}
	_, table, ok := strings.Cut(string(raw), "| left | what it is | the next command |\n")
	if !ok {
		return nil, fmt.Errorf("docs/crash.md has no table of what is left")
	}
	names := make(map[string]bool)
	code := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		for _, m := range code.FindAllStringSubmatch(first, -1) {
			names[m[1]] = true
		}
	}
	return names, nil
}

var slotName = regexp.MustCompile(`(^|[-.])[ab]($|[-.])`)

// row is the name under which the table has a line of a state; "" for what belongs there.
func row(line string) string {
	name, _, _ := strings.Cut(line, ":")
	name, _, _ = strings.Cut(name, ",")
	base := strings.TrimPrefix(strings.TrimPrefix(name, slotsDir+"/"), oneDir+"/")
	if name == slotsDir+"/"+base {
		base = slotName.ReplaceAllString(base, "${1}X${2}")
		if dir, file, ok := strings.Cut(base, "/"); ok {
			base = dir + "/" + slotName.ReplaceAllString(file, "${1}X${2}")
		}
	} else {
		base = strings.ReplaceAll(base, "store", "DIR")
	}
	switch base {
	case "X", "X.erofs", "X.erofs.sha256", ".work", "state.json", "DIR", "DIR.erofs", "DIR.erofs.sha256":
		return ""
	}
	return base
}
