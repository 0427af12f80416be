package successor

import (
	"fmt"
	"regexp"

	"golang.org/x/mod/semver"
)

// described ends what git describe says of a commit that is no release, and is later than the
// release that it names. Semantic versions would have it earlier.
var described = regexp.MustCompile(`-[0-9]+-g[0-9a-f]+(-dirty)?$|-dirty$`)

// isRelease reports whether a version is that of a release, as v1.2.3 or v1.2.3-rc.1.
func isRelease(version string) bool {
	return semver.IsValid(version) && semver.Canonical(version) == version && !described.MatchString(version)
}

// later wants version to be a later release than this one.
func later(version, this string) error {
	for _, v := range []string{version, this} {
		if !isRelease(v) {
			return fmt.Errorf("%w: that of the stick is nodeseal %s, this one %s, and %s is no release", ErrUnknown, version, this, v)
		}
	}
	if semver.Compare(version, this) <= 0 {
		return fmt.Errorf("%w: it is nodeseal %s, this one %s", ErrNotLater, version, this)
	}
	return nil
}
