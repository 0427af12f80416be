package manifest

import (
	_ "embed" // the template
	"fmt"
	"regexp"
	"strconv"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

// Version is a minor version of OpenShift.
type Version struct{ Major, Minor int }

var versionPattern = regexp.MustCompile(`^([45])\.(\d{1,2})(\.\d+(-[0-9A-Za-z.-]+)?)?$`)

// ParseVersion reads 4.18 or 4.18.3. Errors wrap machine.ErrSettings.
func ParseVersion(s string) (Version, error) {
	m := versionPattern.FindStringSubmatch(s)
	if m == nil {
		return Version{}, machine.Refuse("--ocp-version %q: want the cluster's version, as in 4.18", s)
	}
	major, _ := strconv.Atoi(m[1]) // digits, by the pattern
	minor, _ := strconv.Atoi(m[2])
	return Version{Major: major, Minor: minor}, nil
}

// String returns 4.18.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// AtLeast reports whether v is 4.minor or later.
func (v Version) AtLeast(minor int) bool { return v.Major > 4 || v.Minor >= minor }

// The minor versions of OpenShift 4 that something begins with.
const (
	minorTemplate   = 16 // the storage.conf that is built in
	minorPinnedAPI  = 19 // PinnedImageSet v1
	minorPinnedTech = 16 // PinnedImageSet v1alpha1
	minorDisruption = 17 // NodeDisruptionPolicy
	minorStores     = 23 // additionalImageStores of a ContainerRuntimeConfig
)

// storageTemplate is the machine-config-operator's storage.conf since 4.16.
//
//go:embed storage.conf-4.16
var storageTemplate []byte

// StorageConf returns the storage.conf that nodes of the version have before
// anything is changed: from, taken from a node, or where that is nil the
// machine-config-operator's. A version whose template is not known, and a file
// that is frozen from an older one, give errors that wrap machine.ErrSettings.
func StorageConf(v Version, from []byte) ([]byte, error) {
	if from == nil {
		if !v.AtLeast(minorTemplate) {
			return nil, machine.Refuse("the storage.conf of OpenShift %s is not built in (it is from 4.%d on): "+
				"copy it from a node of the pool and name it with --from", v, minorTemplate)
		}
		return storageTemplate, nil
	}
	conf, err := nodeconfig.ReadStorage(from)
	if err != nil {
		return nil, err
	}
	const old = "/var/run/containers/storage"
	if v.AtLeast(minorTemplate) && conf.RunRoot == old {
		return nil, machine.Refuse("this storage.conf has the runroot %s of releases before 4.%d: CRI-O and podman of %s would use "+
			"another one than the rest of the node; take the file of a node that is on %s", old, minorTemplate, v, v)
	}
	return from, nil
}
