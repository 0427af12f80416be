// Package ocp knows what releases of OpenShift do: which of them exist, and where each
// reads the image of its operating system. It was read in the machine-config operator's
// source of each release branch.
package ocp

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// AnyPatch is the Patch of a version that does not say it, as 4.19.
const AnyPatch = -1

// Version is a version of OpenShift.
type Version struct{ Major, Minor, Patch int }

// ErrVersion is wrapped by the errors of Parse.
var ErrVersion = errors.New("not a version of OpenShift")

var versionPattern = regexp.MustCompile(`^([45])\.(\d{1,2})(?:\.(\d{1,4})(-[0-9A-Za-z.-]+)?)?$`)

// The releases that this package knows.
const (
	lastMinor4 = 23
	lastMinor5 = 0
)

// Parse reads 4.18 or 4.18.3, and refuses a release that does not exist. Errors wrap
// ErrVersion.
func Parse(s string) (Version, error) {
	v, ok := Read(s)
	if !ok {
		return Version{}, fmt.Errorf("%w: %q, want one as in 4.18.3", ErrVersion, s)
	}
	if !v.known() {
		return Version{}, fmt.Errorf("%w: %q, there is 4.1 to 4.%d and 5.0; a release after these needs a later nodeseal", ErrVersion, s, lastMinor4)
	}
	return v, nil
}

// Read reads the version that a cluster says it has. It may be of a release that this
// package does not know: that does what the last known one does.
func Read(s string) (Version, bool) {
	m := versionPattern.FindStringSubmatch(s)
	if m == nil {
		return Version{}, false
	}
	v := Version{Patch: AnyPatch}
	v.Major, _ = strconv.Atoi(m[1]) // digits, by the pattern
	v.Minor, _ = strconv.Atoi(m[2])
	if m[3] != "" {
		v.Patch, _ = strconv.Atoi(m[3])
	}
	return v, true
}

func (v Version) known() bool {
	if v.Major == 5 {
		return v.Minor <= lastMinor5
	}
	return v.Minor >= 1 && v.Minor <= lastMinor4
}

// String returns 4.18 or 4.18.3.
func (v Version) String() string {
	if v.Patch == AnyPatch {
		return fmt.Sprintf("%d.%d", v.Major, v.Minor)
	}
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
}

// AtLeast reports whether v is 4.minor or later.
func (v Version) AtLeast(minor int) bool { return v.Major > 4 || v.Minor >= minor }
