package storageconf

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
)

// reads is how a program reads storage.conf.
type reads int

const (
	none    reads = iota // it is not installed
	oneFile              // the first file that exists
	dropIns              // that, and the drop-ins
)

// newer reports whether a version of go.podman.io/storage reads drop-ins: from 1.63 on.
func newer(version string) bool {
	var major, minor int
	_, err := fmt.Sscanf(version, "v%d.%d", &major, &minor)
	return err == nil && (major > 1 || minor >= 63)
}

// library tells how the program of that name reads, none if it is not installed.
func library(o Options, name string) reads {
	for _, dir := range []string{"/usr/local/bin", "/usr/bin"} {
		path := o.path(filepath.Join(dir, name))
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return oneFile
		}
		return built(info)
	}
	return none
}

// built tells how a program reads by what it was built from. One that was built without
// modules, as Debian's are, does not say that; these are older.
func built(info *debug.BuildInfo) reads {
	for _, m := range info.Deps {
		version := m.Version
		if m.Replace != nil {
			version = m.Replace.Version
		}
		if m.Path == "go.podman.io/storage" && newer(version) {
			return dropIns
		}
	}
	return oneFile
}
